"""Kinds: the types of action that can be requested, with their payload schemas and their rules."""

import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from mcp_hitl.domain.policy import forms
from mcp_hitl.domain.policy.policy import Policy
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.canonical import JsonObject, digest_of
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.money import amounts_in, money
from mcp_hitl.domain.values.payload import Payload, payload_of
from mcp_hitl.domain.values.schemas import check_against
from mcp_hitl.domain.values.secrets import has_secrets
from mcp_hitl.domain.values.text import has_twins, one_line

MAX_TITLE = 200
COOLDOWN = timedelta(hours=24)
"""The cooldown of a kind that sets none, and of a kind that the deciding process has not configured."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one requester's use of a kind (THREATS T37); None means no limit."""

    open_per_requester: int | None = 10_000
    payload_bytes: int = 65_536
    open_bytes: int | None = 67_108_864
    """All open payloads together."""
    per_minute: int | None = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A type of action.

    `title` is a template over the payload's top-level fields (`{amount} {currency}`); a kind without one shows the
    agent's title, marked as its claim. `cooldown` is how long a rejected payload stays rejected. `check` refuses
    payloads that a schema cannot exclude. `form` is the form for the approver; a question brings its own.
    """

    name: str
    schema: JsonObject
    title: str | None = None
    timeout: timedelta = timedelta(days=7)
    cooldown: timedelta | None = COOLDOWN
    form: JsonObject | None = None
    policy: Policy = field(default_factory=Policy)
    rules: tuple[Rule, ...] = ()
    limits: Limits = field(default_factory=Limits)
    flow: str | None = None
    """The flow that carries out an approval, as `package.module:Class`."""
    joins_equal: bool = True
    check: Callable[[JsonObject], None] | None = None
    acts_itself: bool = False
    """True if approving completes the action: no flow runs, and nobody redeems the approval."""
    program: str | None = None
    """The program that defined it; None if it is built in or the policy file has it."""
    has_secrets: bool = field(init=False, repr=False, compare=False)
    """True if the schema marks a field `writeOnly`."""
    definition: str = field(init=False, repr=False, compare=False)
    """The digest of what an approval of this kind says: who defined the kind, and a program's own title and schema.

    The policy may change the title and schema of its kinds: approvals have their own copy of what they need.
    """
    code: str | None = field(init=False, repr=False, compare=False)
    """The digest of the definition and the flow that carries it out; None if no flow does."""

    def __post_init__(self) -> None:
        """Look for secrets and digest the definition once: every row of every list asks."""
        own = None if self.program is None else [self.program, self.title, self.schema]
        definition = _digest([self.name, own])
        object.__setattr__(self, "has_secrets", has_secrets(self.schema))
        object.__setattr__(self, "definition", definition)
        object.__setattr__(self, "code", None if self.flow is None else _digest([definition, self.flow]))

    def admit(self, payload: JsonObject) -> Payload:
        """Check a payload, and return it with its canonical form and digest.

        Raises:
            Invalid: the payload is too large, is not plain JSON, or does not fit the kind's schema.
        """
        admitted = payload_of(payload, self.schema)
        size, most = len(admitted.canonical), self.limits.payload_bytes
        if size > most:
            raise Invalid(f"payload has {size:,} bytes; the kind {self.name!r} takes at most {most:,}.")
        check_against(self.schema, payload, what="payload")
        if not admitted.canonical.isascii() and has_twins(payload):
            raise Invalid("payload has two fields whose names look the same. Give them different names.")
        if self.check is not None:
            self.check(payload)
        return admitted

    def title_of(self, payload: JsonObject, claim: str | None) -> str:
        """Return the title that an approver reads: from the payload if the kind has a template, else the agent's."""
        if self.title is None:
            return one_line(claim or self.name, MAX_TITLE)
        shown = payload | amounts_in(payload)
        values = {name: one_line(str(value), MAX_TITLE) for name, value in shown.items()}
        return one_line(_Template().vformat(self.title, (), values), MAX_TITLE)

    @property
    def redeemable(self) -> bool:
        """True if the requester performs the approved action itself, once, after redeeming the approval."""
        return self.flow is None and not self.acts_itself

    def entries(self) -> frozenset[str]:
        """Return every approver that the kind's policy names now, in any stage or rule."""
        ruled = (name for rule in self.rules for stage in rule.stages for name in stage.everybody)
        return frozenset((*self.policy.named(), *ruled))

    def form_of(self, payload: JsonObject) -> JsonObject | None:
        """Return the form for an approver of this payload, or None if there is none."""
        if self.name == QUESTION.name:
            return forms.define(payload["form"]) if "form" in payload else forms.FREE_TEXT
        return self.form


def _digest(value: object) -> str:
    return digest_of(json.dumps(value, sort_keys=True).encode())


class _Template(string.Formatter):
    """A template that fills in `{name}` only: no attributes, indexes or format specifications reach into a payload."""

    def get_field(self, field_name: str, args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        return kwargs.get(field_name, "?"), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return str(value)


def _check_expense(payload: JsonObject) -> None:
    money(payload["amount"], payload["currency"], "amount")
    _check_not_blank(payload, "description")


def _check_not_blank(payload: JsonObject, field: str) -> None:
    if not payload[field].strip():
        raise Invalid(f"{field} must not be blank.")


def _check_question(payload: JsonObject) -> None:
    _check_not_blank(payload, "question")
    if "form" in payload:
        forms.define(payload["form"])


EXPENSE = Kind(
    name="expense",
    title="Expense: {amount} {currency} for {description}",
    schema={
        "type": "object",
        "properties": {
            "amount": {"type": "number", "exclusiveMinimum": 0},
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
            "description": {"type": "string", "minLength": 1, "maxLength": 2000},
            "category": {"type": "string", "minLength": 1, "maxLength": 100},
        },
        "required": ["amount", "currency", "description"],
        "additionalProperties": False,
    },
    check=_check_expense,
    flow="mcp_hitl.flows.expense:ExpenseFlow",
)
ACTION = Kind(name="action", schema={"type": "object"})
QUESTION = Kind(
    name="question",
    title="{question}",
    schema={
        "type": "object",
        "properties": {
            "question": {"type": "string", "minLength": 1, "maxLength": 4000},
            "form": {"type": "object"},
        },
        "required": ["question"],
        "additionalProperties": False,
    },
    cooldown=None,
    joins_equal=False,
    acts_itself=True,
    check=_check_question,
)
COUNTER = Kind(
    name="counter",
    title="Increase the counter",
    schema={"type": "object", "additionalProperties": False},
    timeout=timedelta(days=1),
    cooldown=None,
    joins_equal=False,
    acts_itself=True,
    form={
        "type": "object",
        "properties": {"amount": {"type": "number", "title": "Increase by"}},
        "required": ["amount"],
    },
)

BUILT_IN: Mapping[str, Kind] = {kind.name: kind for kind in (EXPENSE, ACTION, QUESTION, COUNTER)}
"""The kinds that work without any configuration."""
WITH_EFFECT = frozenset({COUNTER.name})
"""Kinds of which something happens in the transaction that approves. A program that cannot do it must not approve."""
WITH_TABLE = frozenset({EXPENSE.name})
"""Kinds that keep rows in a table of their own. A program that does not know it can neither verify nor erase."""
