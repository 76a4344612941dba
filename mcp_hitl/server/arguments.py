"""The arguments of each tool: strict, so that `"50000"` is not 50000, and described for a model."""

from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from mcp_hitl.desk.transactions.decide import MAX_COMMENT
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid

Id = Annotated[str, Field(max_length=64, description="The approval's id, apr_…, as an earlier call returned it.")]
DedupKey = Annotated[
    str | None,
    Field(
        description="A key of your choice. The same key with the same request returns the same approval, always; with "
        "another request it is refused."
    ),
]
Comment = Annotated[str | None, Field(max_length=MAX_COMMENT)]


def _as_sent(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Check a number and return it as it was sent: as a float, a long whole number would lose digits unnoticed."""
    check(value)
    return value


Amount = Annotated[float, Field(gt=0, description="How much, at most 15 significant digits."), WrapValidator(_as_sent)]


class Arguments(BaseModel):
    """The arguments of one tool."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, sent: dict[str, Any]) -> dict[str, Any]:
        """Leave out optional texts that are null or empty, since models send both for "nothing"."""
        optional = {
            name
            for name, field in cls.model_fields.items()
            if not field.is_required() and str in (field.annotation, *get_args(field.annotation))
        }
        return {name: value for name, value in sent.items() if value not in (None, "") or name not in optional}


class Confirm(Arguments):
    """The arguments of `increase-counter`."""

    confirm: Annotated[bool, Field(description="true to ask the person for the amount; false to do nothing.")]


class Expense(Arguments):
    """The arguments of `submit-expense`."""

    amount: Amount
    description: Annotated[str, Field(description="The purpose of the expense.")]
    currency: Annotated[str, Field(description="Three-letter code (ISO 4217).")] = "USD"
    category: Annotated[str | None, Field(description="For example, travel or software.")] = None
    dedup_key: DedupKey = None


class Action(Arguments):
    """The arguments of `request-approval`."""

    title: Annotated[str, Field(min_length=1, max_length=200, description="What you want to do, in one line.")]
    details: Annotated[
        dict[str, Any],
        Field(description="The exact action as JSON, complete: the person sees all of it and approves exactly this."),
    ]
    kind: Annotated[str, Field(max_length=64, description="The kind of action; it brings its own rules.")] = "action"
    dedup_key: DedupKey = None


class Question(Arguments):
    """The arguments of `ask-human`."""

    question: Annotated[str, Field(description="The question, complete in itself.")]
    form: Annotated[
        dict[str, Any] | None,
        Field(
            description="A JSON Schema of flat fields to fill in: an object with properties of type string, number, "
            "integer, boolean, or array for several choices. Left out, the person answers in free text."
        ),
    ] = None
    dedup_key: DedupKey = None


class Listing(Arguments):
    """The arguments of `list-pending`."""

    kind: Annotated[str | None, Field(max_length=64, description="Only this kind.")] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str | None, Field(max_length=64, description="next_cursor of the page before.")] = None


class One(Arguments):
    """The arguments of `get-approval` and `audit-trail`."""

    id: Id


class Wait(Arguments):
    """The arguments of `wait-for-approval`."""

    id: Id
    timeout_seconds: Annotated[
        float, Field(ge=0, le=300, description="How long to wait; keep it below your own limit for a call.")
    ] = 45


class Approve(Arguments):
    """The arguments of `approve`."""

    id: Id
    comment: Annotated[Comment, Field(description="A comment to propose to the person, who may change it.")] = None


class Reject(Arguments):
    """The arguments of `reject`."""

    id: Id
    reason: Annotated[
        str,
        Field(
            min_length=1, max_length=MAX_COMMENT, description="A reason to propose to the person, who may change it."
        ),
    ]


class Edit(Arguments):
    """The arguments of `edit-approval`."""

    id: Id
    payload: Annotated[dict[str, Any], Field(description="The complete new payload, not only the changes.")]
    comment: Annotated[Comment, Field(description="A reason to propose to the person, who may change it.")] = None


class Redeem(Arguments):
    """The arguments of `redeem-approval`."""

    id: Id
    digest: Annotated[str, Field(max_length=80, description="The digest of the payload that you are about to act on.")]


class Report(Arguments):
    """The arguments of `report-outcome`."""

    id: Id
    succeeded: Annotated[bool, Field(description="true if the action was carried out and worked.")]
    note: Annotated[Comment, Field(description="The result, or what went wrong.")] = None


class Cancel(Arguments):
    """The arguments of `cancel-approval`."""

    id: Id
    reason: Annotated[Comment, Field(description="Why you no longer want it.")] = None


A = TypeVar("A", bound=Arguments)


def parse(model: type[A], arguments: dict[str, Any]) -> A:
    """Return a call's arguments, checked.

    Raises:
        Invalid: the message names each wrong argument and what was expected, and repeats nothing of what was sent.
    """
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_context=False, include_input=False)
        told = [_mistake(model, mistake["type"], mistake["loc"], mistake["msg"]) for mistake in mistakes[:5]]
        raise Invalid("; ".join(dict.fromkeys(told)) + ".") from None


def schema_of(model: type[Arguments]) -> JsonObject:
    """Return the input schema, without the titles that pydantic derives from names."""
    schema = model.model_json_schema()
    properties = {name: _plain(field) for name, field in schema.get("properties", {}).items()}
    return {
        "type": "object",
        "properties": properties,
        "required": schema.get("required", []),
        "additionalProperties": False,
    }


def _plain(field: JsonObject) -> JsonObject:
    plain = {key: value for key, value in field.items() if key not in {"title", "anyOf"}}
    for option in field.get("anyOf", ()):
        if option != {"type": "null"}:
            plain |= option
    if plain.get("default", ...) is None:
        del plain["default"]
    return plain


def _mistake(model: type[Arguments], kind: str, place: tuple[int | str, ...], message: str) -> str:
    if kind == "extra_forbidden":
        return f"there is an argument that this tool does not take; it takes {', '.join(model.model_fields)}"
    name = str(place[0]) if place and place[0] in model.model_fields else "an argument"
    return f"{name}: {message[0].lower()}{message[1:]}"
