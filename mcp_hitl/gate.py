"""A function behind an approval: its arguments as JSON, its schema, and the flow that runs it once it is approved."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, ParamSpec, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, to_jsonable_python

from mcp_hitl.config.title_templates import hiding
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.schemas import check_against
from mcp_hitl.engine.codec import check_kept, plain
from mcp_hitl.engine.flow import Flow, Step
from mcp_hitl.engine.run_ends import Failed, NotApproved
from mcp_hitl.engine.secrecy import check_hides

P = ParamSpec("P")


class Gated(Generic[P]):
    """An async function behind an approval of the kind `name`."""

    def __init__(self, function: Callable[P, Awaitable[object]], name: str | None) -> None:
        """Put `function` behind approvals of the kind `name`, or of the kind that is named after it.

        Raises:
            TypeError: it is not async, or has arguments that have no names.
        """
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__name__}: a function behind an approval must be async")
        self.name = name or function.__name__.replace("_", "-")
        self._function = function
        self._arguments = _arguments_of(function)

    @property
    def kind(self) -> Kind:
        """The kind for it, if the policy file has none."""
        return Kind(name=self.name, schema=hiding(_schema_of(self._arguments)))

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema of its arguments, in which secrets are marked `writeOnly`."""
        return self._arguments.json_schema()

    @property
    def flow(self) -> type[Flow[Any, Any]]:
        """The flow that runs it."""
        return _flow_of(self.name, self._function, self._arguments)

    def asking(
        self, ask: Callable[[Callable[[Kind], JsonObject]], Awaitable[JsonObject]]
    ) -> Callable[P, Awaitable[JsonObject]]:
        """Return the function that asks instead. `ask` gets what returns the checked arguments, for a kind."""
        signature = inspect.signature(self._function, eval_str=True)

        @functools.wraps(self._function)
        async def asked(*args: P.args, **kwargs: P.kwargs) -> JsonObject:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()

            def payload(kind: Kind) -> JsonObject:
                made = plain(_checked(self._arguments, bound.arguments))
                check_hides(kind, bound.arguments)
                return made

            return await ask(payload)

        # Frameworks that read signatures must see what a call really returns.
        told: Any = asked
        told.__signature__ = signature.replace(return_annotation=dict[str, Any])
        told.__annotations__ = {**get_type_hints(self._function, include_extras=True), "return": dict[str, Any]}
        return asked


def _arguments_of(function: Callable[..., Any]) -> TypeAdapter[Any]:
    """Return a function's parameters as a strict model."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
            raise TypeError(f"{function.__name__}: a function behind an approval can have named arguments only")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), default)
    model = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    return TypeAdapter(model)


class _Schemas(GenerateJsonSchema):
    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Leave out pydantic's pattern for decimals as text: RE2 cannot match it, and pydantic checks them itself."""
        made = super().decimal_schema(schema)
        for part in made.get("anyOf", [made]):
            part.pop("pattern", None)
        return made


@functools.lru_cache(maxsize=256)
def _schema_of(arguments: TypeAdapter[Any]) -> JsonObject:
    return arguments.json_schema(schema_generator=_Schemas)


def _checked(arguments: TypeAdapter[Any], given: Mapping[str, Any]) -> Any:
    """Return the arguments as the function takes them.

    Raises:
        Invalid: they do not fit; the message does not repeat what was sent.
    """
    try:
        # As JSON, and strictly: what is approved is JSON, and "50000" is not 50000.
        fitting = arguments.validate_json(json.dumps(plain(dict(given))), strict=True)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        wrong = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in found[:5])
        raise Invalid(f"The arguments do not fit. {wrong}.") from None
    check_kept(dict(given), dict(fitting))
    # pydantic's `\\d` matches the digits of every script; and the policy file's schema may say less than the function.
    check_against(_schema_of(arguments), to_jsonable_python(fitting), what="arguments")
    return fitting


def _flow_of(name: str, function: Callable[..., Awaitable[Any]], arguments: TypeAdapter[Any]) -> type[Flow[Any, Any]]:
    async def act(payload: Mapping[str, Any]) -> Any:
        try:
            approved = _checked(arguments, payload)
        except Invalid as error:  # the policy file's schema lets through what the function does not take
            raise Failed(str(error)) from error
        return to_jsonable_python(await function(**dict(approved)))

    class Gated(Flow[Any, Any]):
        kind = name

        async def run(self, value: Any, step: Step) -> Any:
            approval = await step.wait_for_approval("approval", payload=value)
            if approval.status is not Status.APPROVED:
                raise NotApproved(approval)
            return await step.do("act", act, approval.payload, at_most_once=True)

    Gated.__module__, Gated.__qualname__ = function.__module__, function.__qualname__  # what it is known by
    return Gated
