"""The patterns of JSON Schemas, matched by RE2 in time linear in the text, so that no pattern can stall the desk.

Its `\\d`, `\\w`, `\\s` and `\\b` know ASCII only, as JSON Schema's dialect (ECMA 262) says for all but `\\s`. Python's
`re` would let `\\d` match the digits of every script.
"""

from functools import lru_cache
from typing import Any

from mcp_hitl.domain.values.errors import Invalid

MAX_PATTERN = 500
"""The most characters in a pattern that an agent may send."""
_SMALL, _LARGE = 2**18, 2**23
"""Bytes of memory: `\\pL{250}` takes 2 MB and a tenth of a second, and a form may have 40 patterns."""
SUPPORTED = "a regular expression that RE2 supports: look-around and references to a group are not allowed"


def is_linear(pattern: object) -> bool:
    """Return True if RE2 can match the pattern."""
    return isinstance(pattern, str) and _compiled(pattern) is not None


def is_small(pattern: object) -> bool:
    """Return True if an agent may send the pattern: RE2 can match it, and it takes little time and memory."""
    return isinstance(pattern, str) and len(pattern) <= MAX_PATTERN and _within(_SMALL, pattern) is not None


def matches(pattern: str, text: str) -> bool:
    """Return True if the pattern matches anywhere in the text; `$` is the end of the text.

    Raises:
        Invalid: RE2 cannot match the pattern.
    """
    compiled = _compiled(pattern)
    if compiled is None:
        raise Invalid(f"This schema has a pattern that cannot be checked. It must be {SUPPORTED}.")
    return compiled.search(text) is not None


def _compiled(pattern: str) -> Any | None:
    small = _within(_SMALL, pattern)
    return _within(_LARGE, pattern) if small is None else small


@lru_cache(maxsize=256)
def _within(memory: int, pattern: str) -> Any | None:
    """Return the pattern compiled, or None if that takes more memory, or RE2 does not support it."""
    # Imported late: most commands match nothing.
    import re2  # pyright: ignore[reportMissingTypeStubs]

    engine: Any = re2
    options = engine.Options()
    options.log_errors = False
    options.max_mem = memory
    try:
        return engine.compile(pattern, options)
    except engine.error:
        return None
