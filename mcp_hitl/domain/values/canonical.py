"""JSON as we store and digest it: RFC 8785, after a check that every reader understands it the same way.

We refuse values that JSON itself does not have (NaN, infinities), integers that other readers would round
(beyond 2^53 - 1), lone surrogates and NUL in text (not every database can store them), and deep nesting.
"""

import hashlib
import json
import math
from typing import Any, cast

import rfc8785

from mcp_hitl.domain.values.errors import Invalid

JsonObject = dict[str, Any]

MAX_DEPTH = 32
_SAFE_INTEGER = 2**53 - 1
_EXPONENT_FROM = 1e21
"""From this number on, RFC 8785 writes numbers with an exponent, and every reader takes them for floats."""

_PLAIN_FROM = 1e-4
"""From this number on, Python writes numbers without an exponent."""
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":")).encode


def canonical(value: object, *, what: str) -> bytes:
    """Return the RFC 8785 form of `value`.

    Raises:
        Invalid: `value` is outside the JSON described above; the message names the place, beginning at `what`.
    """
    common = _common_form(value)
    if common is not None:
        return common
    _check(value, what, 0)
    return rfc8785.dumps(cast("Any", value))


def rfc8785_form(value: object) -> bytes:
    """Return the RFC 8785 form of a value that we wrote ourselves or read back, without checking it.

    Raises:
        ValueError: the value has no RFC 8785 form.
    """
    return _common_form(value) or rfc8785.dumps(cast("Any", value))


def digest_of(canonical_form: bytes) -> str:
    """Return `sha256:` and the hexadecimal SHA-256 of a canonical form."""
    return "sha256:" + hashlib.sha256(canonical_form).hexdigest()


def read_back(text: str | bytes) -> Any:
    """Parse JSON that this program wrote, without the checks for JSON from outside."""
    return json.loads(text)


def check_text(text: str, what: str) -> None:
    """Refuse text that some stores or readers would not keep unchanged.

    Raises:
        Invalid: `text` has a NUL character or a lone surrogate.
    """
    if "\0" in text:
        raise Invalid(f"{what} contains a NUL character (U+0000), which cannot be stored. Send it without.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Invalid(f"{what} contains half of a surrogate pair. Send valid Unicode text.") from None


def _common_form(value: object) -> bytes | None:
    """Return the RFC 8785 form of an ordinary value, many times faster than the library; None for any other value."""
    if not _is_common(value, MAX_DEPTH):
        return None
    text = _encode(value)
    try:
        return None if "\\u0000" in text else text.encode()
    except UnicodeEncodeError:
        return None


def _is_common(value: object, depth: int) -> bool:
    """Return True if Python's own JSON for `value` is RFC 8785 and every reader reads it alike: an ordinary value.

    Python sorts ASCII keys in the same order as UTF-16, and writes a fraction between a ten-thousandth and 2^53
    the same way as ECMAScript.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is dict:
        if depth <= 0:
            return False
        for key, item in cast("dict[object, object]", value).items():
            if type(key) is not str or not key.isascii():
                return False
            if item is not None and type(item) is not str and not _is_common(item, depth - 1):
                return False
        return True
    if kind is int:
        return -_SAFE_INTEGER <= cast("int", value) <= _SAFE_INTEGER
    if kind is float:
        number = cast("float", value)
        return _PLAIN_FROM <= abs(number) <= _SAFE_INTEGER and not number.is_integer()
    return kind is list and depth > 0 and all(_is_common(item, depth - 1) for item in cast("list[object]", value))


def _check(value: object, place: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Invalid(f"{place} is nested deeper than {MAX_DEPTH} levels. Flatten it.")
    match value:
        case None | bool():
            return
        case str():
            check_text(value, place)
        case int():
            if abs(value) > _SAFE_INTEGER:
                raise _unsafe(place)
        case float():
            if not math.isfinite(value):
                raise Invalid(f"{place} is not a finite number.")
            if _SAFE_INTEGER < abs(value) < _EXPONENT_FROM:
                # Its canonical form has the digits of an integer.
                raise _unsafe(place)
        case list():
            for index, item in enumerate(cast("list[object]", value)):
                _check(item, f"{place}[{index}]", depth + 1)
        case dict():
            for key, item in cast("dict[object, object]", value).items():
                if not isinstance(key, str):
                    raise Invalid(f"{place} has a key that is not text.")
                check_text(key, f"a key of {place}")
                _check(
                    item,
                    f"{place}.{key}" if key.isidentifier() and len(key) <= 40 else f"a field of {place}",
                    depth + 1,
                )
        case _:
            raise Invalid(f"{place} is not JSON.")


def _unsafe(place: str) -> Invalid:
    return Invalid(f"{place} is an integer beyond ±(2^53 - 1), which not every reader keeps exact. Send it as text.")
