"""JSON Schema patterns, matched by RE2 in time linear in the text, so that no pattern can stall the desk."""

import re
from functools import lru_cache
from typing import Any

MAX_PATTERN = 500
"""The most characters in a pattern that an agent may send."""


def is_linear(pattern: object) -> bool:
    """Return True if RE2 can match the pattern: at most 500 characters, without look-around and back-references."""
    return isinstance(pattern, str) and len(pattern) <= MAX_PATTERN and _linear(pattern) is not None


def matches(pattern: str, text: str) -> bool:
    """Return True if the pattern matches anywhere in the text; `$` is the end of the text, `\\d` an ASCII digit.

    Python's `re` matches a pattern that RE2 does not support. Only a policy or a program can supply one.
    """
    linear = _linear(pattern)
    if linear is not None:
        return linear.search(text) is not None
    ends = pattern.endswith("$") and not pattern.endswith("\\$")  # Python's `$` would let a line feed follow
    return re.search(pattern[:-1] + r"\Z" if ends else pattern, text) is not None


@lru_cache(maxsize=256)
def _linear(pattern: str) -> Any | None:
    # Imported late: most commands match nothing.
    import re2  # pyright: ignore[reportMissingTypeStubs]

    engine: Any = re2
    options = engine.Options()
    options.log_errors = False
    try:
        return engine.compile(pattern, options)
    except engine.error:
        return None
