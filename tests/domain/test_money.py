"""Money is a JSON number outside and an exact decimal of the currency's precision inside."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.money import as_json, check_digits, money, number


@pytest.mark.parametrize(
    ("value", "currency"),
    [
        (50, "USD"),
        (49.99, "USD"),
        (0.1, "EUR"),
        (1000, "JPY"),
        (1e3, "JPY"),
        (1.234, "KWD"),
        (1.2345, "CLF"),
        (9999999999999.99, "USD"),
        (-5.5, "USD"),
    ],
)
def test_an_amount_with_the_currencys_decimals_is_taken_exactly(value: float, currency: str) -> None:
    assert money(value, currency, "amount") == Decimal(str(value))


@pytest.mark.parametrize(
    ("value", "currency", "decimals"),
    [(49.999, "USD", 2), (0.001, "EUR", 2), (100.5, "JPY", 0), (1.2345, "KWD", 3), (1.23456, "CLF", 4)],
)
def test_more_decimals_than_the_currency_has_are_refused(value: float, currency: str, decimals: int) -> None:
    with pytest.raises(Invalid) as refused:
        money(value, currency, "amount")
    assert str(refused.value) == f"amount must have at most {decimals} decimals in {currency}."


@pytest.mark.parametrize("value", [123456789012345, 12345678901234.5, 0.123456789012345, 1e300, 1e-300, 0, -0.0])
def test_fifteen_significant_digits_are_kept(value: float) -> None:
    assert float(number(value, "amount")) == value


@pytest.mark.parametrize("value", [1234567890123456, 123456789012345.6, 0.1 + 0.2, 10**40 + 1])
def test_more_than_fifteen_significant_digits_are_refused(value: float) -> None:
    with pytest.raises(Invalid, match=r"^amount must have at most 15 significant digits"):
        number(value, "amount")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(Invalid, match=r"^amount must be a finite number"):
        money(value, "USD", "amount")


@pytest.mark.parametrize("value", [2**53, -(2**53), 10**16, 1e21, 1e24, 1e300])
def test_more_money_than_every_reader_keeps_is_refused(value: float) -> None:
    with pytest.raises(Invalid, match=r"^amount must (have )?at most|^amount must be at most 9,007,199,254,740,991\."):
        money(value, "USD", "amount")


def test_digits_are_counted_without_the_zeros_around_them() -> None:
    check_digits(Decimal("0.000123456789012345000"), "sum")
    with pytest.raises(Invalid, match=r"^sum must have"):
        check_digits(Decimal("1.000000000000000000000000000000000001"), "sum")


def test_whole_numbers_leave_without_a_point() -> None:
    assert repr(as_json(Decimal("5.00"))) == "5"
    assert repr(as_json(Decimal("5.50"))) == "5.5"


@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 6))
def test_what_is_taken_leaves_as_the_same_number(digits: int, decimals: int) -> None:
    exact = Decimal(digits).scaleb(-decimals)
    sent = as_json(exact)
    assert number(sent, "amount") == exact
