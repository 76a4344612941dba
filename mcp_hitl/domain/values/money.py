"""Money: a JSON number outside, a `Decimal` of the currency's own precision inside."""

import math
from decimal import Decimal

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid

MAX_DIGITS = 15
"""Significant digits that every IEEE 754 double keeps."""

MAX_AMOUNT = 2**53 - 1
"""The largest amount: beyond, not every reader keeps a whole number (RFC 7493)."""

_MINOR_UNITS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
"""Decimals of the currencies that do not have two (ISO 4217)."""


def number(value: int | float, what: str) -> Decimal:
    """Return the decimal that a JSON number denotes.

    Raises:
        Invalid: not finite, or more than 15 significant digits.
    """
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite():
        raise Invalid(f"{what} must be a finite number.")
    check_digits(exact, what)
    return exact


def check_digits(value: Decimal, what: str) -> None:
    """Refuse a number that a double would round.

    Raises:
        Invalid: more than 15 significant digits.
    """
    # Not by `normalize`, which would round to the context's precision first.
    digits = "".join(map(str, value.as_tuple().digits)).strip("0")
    if len(digits) > MAX_DIGITS:
        raise Invalid(f"{what} must have at most {MAX_DIGITS} significant digits.")


def money(value: int | float, currency: str, what: str) -> Decimal:
    """Return an amount of `currency` (a three-letter code).

    Raises:
        Invalid: no such number, or more decimals than the currency has.
    """
    exact = number(value, what)
    if abs(exact) > MAX_AMOUNT:
        raise Invalid(f"{what} must be at most {MAX_AMOUNT:,}.")
    decimals = _MINOR_UNITS.get(currency, 2)
    if -int(exact.normalize().as_tuple().exponent) > decimals:
        raise Invalid(f"{what} must have at most {decimals} decimals in {currency}.")
    return exact


def in_digits(amount: int | float, currency: str) -> str:
    """An amount as people write it, such as `1,240.50`; with every digit that it has, even one too many."""
    decimals = _MINOR_UNITS.get(currency, 2) if len(currency) == 3 else 0
    exact = Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount)
    given = -int(exact.as_tuple().exponent) if exact.is_finite() else 0
    whole = exact == exact.to_integral_value()
    return f"{exact:,.{0 if whole else max(decimals, given)}f}"


def amounts_in(payload: JsonObject) -> dict[str, str]:
    """The payload's `amount` as people write it, where it is money: a number beside a three-letter `currency`."""
    amount, currency = payload.get("amount"), payload.get("currency")
    if not isinstance(amount, int | float) or isinstance(amount, bool) or not math.isfinite(amount):
        return {}
    if not isinstance(currency, str) or len(currency) != 3 or not (currency.isascii() and currency.isupper()):
        return {}
    return {"amount": in_digits(amount, currency)}


def as_json(value: Decimal) -> int | float:
    """The JSON number for a decimal: whole numbers without a point."""
    return int(value) if value == value.to_integral_value() else float(value)
