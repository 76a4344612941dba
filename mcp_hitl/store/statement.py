"""A statement for the tables that flows and effects have of their own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement in the words of each database, if they differ. In all of them, `?` stands for a value."""

    sqlite: str
    postgres: str
