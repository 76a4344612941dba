"""Turns what is wrong with a stored row into the error that says so."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from mcp_hitl.domain.values.errors import Unreadable

P = ParamSpec("P")
T = TypeVar("T")

FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What converting a row raises if something else is in it than this program writes."""


def reading(mapping: Callable[P, T]) -> Callable[P, T]:
    """Make a function that converts a row raise `Unreadable` if the row cannot be converted, whatever its fault is."""

    @wraps(mapping)
    def read(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return mapping(*args, **kwargs)
        except FAULTS as error:
            raise Unreadable("Something stored in the database", repr(error)) from error

    return read
