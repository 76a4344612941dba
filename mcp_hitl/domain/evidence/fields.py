"""Writes the fields of an event as the `data` of an entry, and reads them back.

A field's name is its key. A field that is None is left out, and the fields of a part stand beside the others.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

from mcp_hitl.domain.values.canonical import JsonObject

T = TypeVar("T")
Names = tuple[str, ...]


class Incomplete(Exception):
    """An entry lacks a field that its event needs, or has something else in its place."""


class Fields:
    """What all events have in common."""

    __slots__ = ()

    def data(self) -> JsonObject:
        """Return the `data` of an entry about this event."""
        return _written(self)


def read_as(event: type[T], data: object) -> T:
    """Return the event of this class that was written as `data`; what else is there does not matter.

    Raises:
        Incomplete: a field is missing, or is not what the class says.
    """
    if not isinstance(data, dict):
        raise Incomplete
    held = cast("JsonObject", data)
    return event(**{name: read(held.get(name), held) for name, read in _readers(event)})


def _written(event: Any) -> JsonObject:
    data: JsonObject = {}
    for name in _names_of(event.__class__):
        value = getattr(event, name)
        if value is None:
            continue
        if type(value) is str:  # most are
            data[name] = value
        elif is_dataclass(value):
            data |= _written(value)
        else:
            data[name] = _plain(value)
    return data


@cache
def _names_of(event: type[Any]) -> Names:
    return tuple(one.name for one in fields(event))


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return [*cast("Names", value)] if isinstance(value, tuple) else value


@cache
def _readers(event: type[Any]) -> tuple[tuple[str, Callable[[Any, JsonObject], Any]], ...]:
    """Return for each field what reads it; found out once, since a log has millions of entries."""
    return tuple((one.name, _reader(one.type)) for one in fields(event))


def _reader(wanted: Any) -> Callable[[Any, JsonObject], Any]:
    if is_dataclass(wanted):
        return lambda _, data: read_as(cast("type[Any]", wanted), data)
    if wanted == Names:
        return lambda value, _: _names(value)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return lambda value, _: _member(wanted, value)
    return lambda value, _: _checked(value, wanted)


def _checked(value: object, wanted: Any) -> Any:
    if not isinstance(value, wanted):
        raise Incomplete
    return value


def _member(wanted: type[Enum], value: object) -> Enum:
    try:
        return wanted(value)
    except ValueError:
        raise Incomplete from None


def _names(value: object) -> Names:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in cast("list[object]", value)):
        raise Incomplete
    return tuple(cast("list[str]", value))
