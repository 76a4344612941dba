"""Converts flow inputs and step results to and from stored JSON."""

import inspect
import json
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import lru_cache, partial
from typing import Any, cast, get_type_hints

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import PydanticSerializationError, to_jsonable_python

from mcp_hitl.domain.values.canonical import JsonObject, canonical
from mcp_hitl.domain.values.errors import Invalid

MARK = object()
"""What `marked` puts in the place of a secret."""
_AS_IT_IS: TypeAdapter[Any] = TypeAdapter(Any)


def plain(value: object) -> Any:
    """Return a value as JSON that has all of it. Pydantic writes its secrets as asterisks; here they are what they are.

    Raises:
        Invalid: JSON loses something, so that another value would come back. The message repeats nothing of it.
    """
    told = _told(value, lambda secret: plain(secret.get_secret_value()))
    _check_whole(value, told)
    return told


def marked(value: object) -> Any:
    """Return the JSON of `plain` with `MARK` in the place of each of pydantic's secrets."""
    return _told(value, lambda secret: MARK)


def _told(value: object, tell: Callable[[Any], Any]) -> Any:
    try:
        return _filled(to_jsonable_python(value, by_alias=True), _AS_IT_IS.dump_python(value, by_alias=True), tell)
    except (PydanticSerializationError, UnicodeDecodeError):
        raise Invalid(f"{_name(value)} cannot be written as JSON. Use types that JSON can carry.") from None


def _filled(told: Any, held: Any, tell: Callable[[Any], Any]) -> Any:
    """Return `told` with what `tell` makes of the secrets that stand in `held` at the same places."""
    if isinstance(held, SecretStr | SecretBytes | Secret):
        return tell(held)
    if isinstance(told, dict) and isinstance(held, dict):
        pairs = zip(cast("dict[str, Any]", told).items(), cast("dict[Any, Any]", held).values(), strict=True)
        return {name: _filled(one, other, tell) for (name, one), other in pairs}
    if isinstance(told, list) and isinstance(held, list | tuple | set | frozenset):
        pairs = zip(cast("list[Any]", told), cast("list[Any]", held), strict=True)
        return [_filled(one, other, tell) for one, other in pairs]
    return cast("object", told)


def check_kept(given: Any, again: object) -> None:
    """Refuse a value of which its declared type keeps less than it has: a subclass has fields that its base has not.

    `again` is the value as that type.

    Raises:
        Invalid: the message names the type.
    """
    lost = _lost(given, plain(given), plain(again))
    if lost is not None:
        raise Invalid(
            f"{_name(lost)} would come back as something else, since its declared type lacks fields that it has. "
            f"Declare the type as {_name(lost)}."
        )


def _lost(given: Any, told: Any, again: Any) -> object:
    """Return the first model or dataclass in `given` of which not every field is in `again`, or None."""
    if isinstance(given, BaseModel) or (is_dataclass(given) and not isinstance(given, type)):
        return None if _covers(again, told) else given
    if isinstance(given, dict) and isinstance(again, dict):
        pairs = zip(cast("dict[Any, Any]", given).values(), cast("dict[str, Any]", told).items(), strict=True)
        kept = cast("dict[str, Any]", again)
        found = (_lost(one, part, kept.get(name)) for one, (name, part) in pairs)
    elif isinstance(given, list | tuple) and isinstance(again, list):
        found = map(_lost, cast("list[Any]", given), cast("list[Any]", told), cast("list[Any]", again))
    else:
        return None
    return next((one for one in found if one is not None), None)


def _covers(again: Any, told: Any) -> bool:
    if isinstance(told, dict):
        held, kept = cast("dict[str, Any]", told), cast("dict[str, Any]", again)
        return isinstance(again, dict) and all(name in kept and _covers(kept[name], held[name]) for name in held)
    if isinstance(told, list):
        pairs = zip(cast("list[Any]", again), cast("list[Any]", told), strict=False)
        return isinstance(again, list) and all(_covers(*pair) for pair in pairs)
    return True


def _check_whole(value: Any, told: Any) -> None:
    """Refuse a model or dataclass that would come back as another one: it has what its JSON does not.

    Raises:
        Invalid: see `plain`.
    """
    if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        try:
            whole = _adapter_of(type(value)).validate_json(json.dumps(told)) == value
        except ValidationError:
            whole = False
        if not whole:
            raise Invalid(
                f"{_name(value)} would come back as something else, since as JSON it loses or changes a field (one "
                "that is excluded, private, renamed or written by a serializer). Use types that JSON can carry."
            )
    elif isinstance(value, dict) and isinstance(told, dict):
        held = cast("dict[Any, Any]", value).values()
        for pair in zip(held, cast("dict[str, Any]", told).values(), strict=True):
            _check_whole(*pair)
    elif isinstance(value, list | tuple | set | frozenset) and isinstance(told, list):
        for pair in zip(cast("list[Any]", value), cast("list[Any]", told), strict=True):
            _check_whole(*pair)


@lru_cache(maxsize=256)
def _adapter_of(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _name(value: object) -> str:
    return type(value).__name__


def marks(run: Callable[..., Any]) -> JsonObject:
    """Return the JSON Schema of what a flow's `run` takes, in which secrets are marked `writeOnly`."""
    try:
        return _taken(run).json_schema()
    except PydanticInvalidForJsonSchema:
        return {}


def taken(run: Callable[..., Any], payload: Any) -> Any:
    """Return the payload as the type of the parameter of a flow's `run`."""
    return _taken(run).validate_python(payload)


@lru_cache(maxsize=256)
def _taken(run: Callable[..., Any]) -> TypeAdapter[Any]:
    """Return the type adapter for the first parameter of a flow's `run`."""
    value = list(inspect.signature(run).parameters)[1]
    return TypeAdapter(get_type_hints(run, include_extras=True).get(value, Any))


def encoded(value: object) -> str:
    """Return a step's result as JSON that every reader reads alike. Anything else fails inside the step."""
    told = plain(value)
    canonical(told, what="the result")
    return json.dumps(told, ensure_ascii=False)


def stored(shape: TypeAdapter[Any], value: object) -> tuple[str, Any]:
    """Return a step's result as JSON, and as the flow gets it back.

    Raises:
        Invalid: its declared return type would lose something of it.
    """
    output = encoded(value)
    again = decoded(shape, output)
    check_kept(value, again)
    return output, again


def decoded(shape: TypeAdapter[Any], output: str | None) -> Any:
    """Return a step's result, always from its JSON, so that the first run and a replay cannot differ."""
    return shape.validate_python(None if output is None else json.loads(output))


def returned(action: Callable[..., Any]) -> TypeAdapter[Any]:
    """Return the declared return type of a step's action. We read it before the action runs, to find mistakes early."""
    while isinstance(action, partial):
        action = action.func
    return _adapter(action if inspect.isroutine(action) else type(action).__call__)


@lru_cache(maxsize=256)
def _adapter(function: Callable[..., Any]) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(function, include_extras=True).get("return", Any))


def told(error: BaseException, hide: Callable[[str], str]) -> str:
    """Return an error in a few words, without the values that pydantic would repeat (THREATS T36).

    `hide` takes secrets out of it, before it is cut.
    """
    words = f"{type(error).__name__}: {error}"
    if isinstance(error, ValidationError):
        mistakes = error.errors(include_input=False, include_context=False, include_url=False)
        words = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in mistakes[:5])
    return hide(words)[:300]
