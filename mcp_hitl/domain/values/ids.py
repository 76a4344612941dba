"""Approval ids: sortable by time, impossible to guess, safe in URLs and file names."""

import re
from datetime import datetime

from mcp_hitl.domain.values.instants import to_ms

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, whose order is that of the bytes
_TIME_DIGITS, _RANDOM_DIGITS = 10, 16
RANDOM_BITS = 5 * _RANDOM_DIGITS
_APPROVAL, _FLOW = "apr_", "flw_"
_SHAPE = re.compile(f"{_APPROVAL}[{_ALPHABET}]{{{_TIME_DIGITS + _RANDOM_DIGITS}}}")


def approval_id(at: datetime, randomness: int) -> str:
    """Return `apr_` and 26 digits: the millisecond of `at`, then `RANDOM_BITS` bits of `randomness`."""
    return _APPROVAL + _digits(to_ms(at), _TIME_DIGITS) + _digits(randomness, _RANDOM_DIGITS)


def is_approval_id(text: str) -> bool:
    """Return True if `text` has the form of an approval id. An approval with this id need not exist."""
    return _SHAPE.fullmatch(text) is not None


def flow_id(approval: str) -> str:
    """Return the id of the flow that an approval starts: `flw_` in place of `apr_`."""
    return _FLOW + approval.removeprefix(_APPROVAL)


def starter_of(flow: str) -> str:
    """Return the id of the approval that started a flow."""
    return _APPROVAL + flow.removeprefix(_FLOW)


def _digits(value: int, width: int) -> str:
    return "".join(_ALPHABET[value >> 5 * place & 31] for place in reversed(range(width)))
