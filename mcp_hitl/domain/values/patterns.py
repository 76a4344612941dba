"""The patterns of JSON Schemas, matched by RE2 in time linear in the text, so that no pattern can stall the desk.

Its `\\d`, `\\w`, `\\s` and `\\b` know ASCII only, as JSON Schema's dialect (ECMA 262) says for all but `\\s`. Python's
`re` would let `\\d` match the digits of every script.
"""

from functools import lru_cache
from typing import Any

from mcp_hitl.domain.values.errors import Invalid

MAX_PATTERN = 500
"""The most characters in a pattern that an agent may send."""
SUPPORTED = "a regular expression that RE2 supports: look-around and references to a group are not allowed"


def is_linear(pattern: object) -> bool:
    """Return True if RE2 can match the pattern."""
    return isinstance(pattern, str) and _compiled(pattern) is not None


def matches(pattern: str, text: str) -> bool:
    """Return True if the pattern matches anywhere in the text; `$` is the end of the text.

    Raises:
        Invalid: RE2 cannot match the pattern.
    """
    compiled = _compiled(pattern)
    if compiled is None:
        raise Invalid(f"This schema has a pattern that cannot be checked. It must be {SUPPORTED}.")
    return compiled.search(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any | None:
    # Imported late: most commands match nothing.
    import re2  # pyright: ignore[reportMissingTypeStubs]

    engine: Any = re2
    options = engine.Options()
    options.log_errors = False
    try:
        return engine.compile(pattern, options)
    except engine.error:
        return None
