"""Cache key by identity, for large immutable objects."""

from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Same(Generic[T]):
    """A key that equals only keys of the same object; it keeps the object alive."""

    __slots__ = ("it",)

    def __init__(self, it: T) -> None:
        """Make a key for `it`."""
        self.it = it

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and cast("Same[object]", other).it is self.it
