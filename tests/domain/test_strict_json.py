"""JSON that we parse ourselves has one meaning, or is refused (T3)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from impatient import seconds

from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.strict_json import parse


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 1}', "payload has 'a' twice in one object."),
        ('{"x": [{"b": 1, "c": 2, "b": 3}]}', "payload has 'b' twice in one object."),
        (r'{"a": 1, "\u0061": 2}', "payload has 'a' twice in one object."),
        ('{"a b": 1, "a b": 2}', "payload has a key twice in one object."),
        ("NaN", "payload has a number that is not finite"),
        ("[-Infinity]", "payload has a number that is not finite"),
        ("1e999", "payload is not a finite number."),
        ("9007199254740993", "payload is an integer beyond"),
        ("9" * 5000, "payload has a number that is too long."),
        ("[" * 100_000, "payload is nested too deeply."),
        ('{"a": 1,}', "payload is not JSON (line 1, column "),
        ("", "payload is not JSON (line 1, column 1)."),
        ('{"a": 1} {}', "payload is not JSON (line 1, column 10)."),
        (r'"\ud800"', "payload contains half of a surrogate pair."),
        (b'"\xff"', "payload is not text in UTF-8."),
        ('{"a": 1}'.encode("utf-16"), "payload is not text in UTF-8."),
    ],
)
def test_t03_what_two_readers_could_read_differently_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text, what="payload")
    assert str(refused.value).startswith(message)


def test_t37_a_key_that_occurs_twice_among_very_many_is_found_at_once() -> None:
    keys = [f'"k{number}": 1' for number in range(60_000)]
    with seconds(10), pytest.raises(Invalid, match=r"payload has 'k59999' twice in one object\."):
        parse("{" + ", ".join([*keys, keys[-1]]) + "}", what="payload")


def test_a_mark_at_the_beginning_is_no_part_of_the_json() -> None:
    assert parse(b"\xef\xbb\xbf{}", what="payload") == {}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    )
)
def test_everything_else_is_read_as_it_was_written(value: object) -> None:
    assert parse(json.dumps(value), what="payload") == parse(json.dumps(value).encode(), what="payload") == value
