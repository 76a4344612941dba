"""Converts flow inputs and step results to and from stored JSON."""

import inspect
import json
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from mcp_hitl.domain.values.canonical import canonical


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
    plain = to_jsonable_python(value, by_alias=True)
    canonical(plain, what="the result")
    return json.dumps(plain, ensure_ascii=False)


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


def told(error: Exception) -> str:
    """Return an error in a few words, without the values that pydantic would repeat (THREATS T36)."""
    if isinstance(error, ValidationError):
        mistakes = error.errors(include_input=False, include_context=False, include_url=False)
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in mistakes[:5])[:300]
    return f"{type(error).__name__}: {error}"[:300]
