"""The error for a stored row that cannot be read."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Unreadable(Exception):
    """A stored row cannot be read, because somebody changed it with another program. The message says why."""


def reading(mapping: Callable[P, T]) -> Callable[P, T]:
    """Make a function that converts a row raise `Unreadable` if the row cannot be converted, whatever its fault is."""

    @wraps(mapping)
    def read(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return mapping(*args, **kwargs)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise Unreadable(repr(error)) from error

    return read
