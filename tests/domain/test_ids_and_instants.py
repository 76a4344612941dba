"""Ids sort by time and cannot be guessed; instants keep milliseconds and end in Z."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import START

from mcp_hitl.domain.values.durations import duration
from mcp_hitl.domain.values.ids import RANDOM_BITS, approval_id, flow_id, is_approval_id, starter_of
from mcp_hitl.domain.values.instants import from_ms, in_words, rfc3339, to_ms

instants = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))
randomness = st.integers(0, 2**RANDOM_BITS - 1)


@given(instants, randomness)
def test_an_id_is_apr_and_26_lower_case_digits(at: datetime, bits: int) -> None:
    text = approval_id(at, bits)
    assert len(text) == 30
    assert text.startswith("apr_") and text == text.lower()
    assert is_approval_id(text)


def test_a_flow_has_the_id_of_the_approval_that_starts_it() -> None:
    assert flow_id("apr_01jd9xkm8g0123456789abcdef") == "flw_01jd9xkm8g0123456789abcdef"
    assert starter_of("flw_01jd9xkm8g0123456789abcdef") == "apr_01jd9xkm8g0123456789abcdef"


@given(instants, randomness, instants, randomness)
def test_ids_sort_as_their_instants_do(at: datetime, bits: int, later: datetime, other: int) -> None:
    one, two = (to_ms(at), bits), (to_ms(later), other)
    assert (approval_id(at, bits) < approval_id(later, other)) is (one < two)


def test_every_random_bit_shows_in_the_id() -> None:
    plain = approval_id(START, 0)
    assert len({approval_id(START, 1 << bit) for bit in range(RANDOM_BITS)} - {plain}) == RANDOM_BITS
    assert RANDOM_BITS >= 80


@pytest.mark.parametrize(
    "text",
    [
        "",
        "apr_",
        "apr_01jd9xkm8g0123456789abcde",
        "apr_01jd9xkm8g0123456789abcdef0",
        "apr_01JD9XKM8G0123456789ABCDEF",
        "apr_01jd9xkm8g0123456789abcdei",  # i, l, o and u are no digits
        "apr_01jd9xkm8g0123456789abcde٣",
        " apr_01jd9xkm8g0123456789abcdef",
        "apr_01jd9xkm8g0123456789abcdef\n",
        "req_01jd9xkm8g0123456789abcdef",
        "' OR 1=1 --",
    ],
)
def test_what_is_shaped_otherwise_is_no_id(text: str) -> None:
    assert not is_approval_id(text)


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_survive_the_way_there_and_back(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms


def test_microseconds_are_rounded_down() -> None:
    assert from_ms(to_ms(START + timedelta(microseconds=999))) == START


def test_an_instant_is_written_in_utc_with_z() -> None:
    assert rfc3339(START) == "2026-11-22T12:35:13.120Z"
    assert rfc3339(START.replace(microsecond=0)) == "2026-11-22T12:35:13.000Z"
    assert rfc3339(START.astimezone(timezone(timedelta(hours=5, minutes=30)))) == "2026-11-22T12:35:13.120Z"


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=-5), "0 seconds"),
        (timedelta(milliseconds=400), "0 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=59), "59 seconds"),
        (timedelta(seconds=60), "1 minute"),
        (timedelta(minutes=44, seconds=59, milliseconds=990), "45 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=22, minutes=10), "22 hours"),
        (timedelta(days=6, hours=23, minutes=59), "7 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=400), "400 days"),
    ],
)
def test_a_span_is_rounded_to_its_largest_unit(span: timedelta, words: str) -> None:
    assert in_words(span) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (90, "90 seconds"),
        (60, "1 minute"),
        (5_400, "90 minutes"),
        (129_600, "36 hours"),
        (604_800, "7 days"),
    ],
)
def test_a_length_of_time_can_be_told_exactly_as_a_policy_file_says_it(seconds: int, words: str) -> None:
    span = timedelta(seconds=seconds)
    assert in_words(span, exactly=True) == words
    assert duration(words) == span
