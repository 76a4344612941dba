"""T3: two payloads never share one canonical form, and what has no single meaning is refused with its place.

The vectors are those of RFC 8785: section 3.2.2, section 3.2.3 and appendix B.
"""

import json
import struct
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from mcp_hitl.domain.values.canonical import (
    MAX_DEPTH,
    canonical,
    check_text,
    digest_of,
    read_back,
    rfc8785_form,
)
from mcp_hitl.domain.values.errors import Invalid

APPENDIX_B = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]
NOT_KEPT_BY_EVERY_READER = [
    "4340000000000000",  # 9007199254740992
    "c340000000000000",  # -9007199254740992
    "4430000000000000",  # 295147905179352830000
    "444b1ae4d6e2ef4e",  # 999999999999999700000
    "444b1ae4d6e2ef4f",  # 999999999999999900000
]


def _double(bits: str) -> float:
    value: float = struct.unpack(">d", bytes.fromhex(bits))[0]
    return value


@pytest.mark.parametrize(("bits", "text"), APPENDIX_B)
def test_t03_numbers_are_written_as_appendix_b_says(bits: str, text: str) -> None:
    assert canonical(_double(bits), what="x").decode() == text


@pytest.mark.parametrize("bits", NOT_KEPT_BY_EVERY_READER)
def test_t03_floats_that_would_be_written_as_unsafe_integers_are_refused(bits: str) -> None:
    with pytest.raises(Invalid, match=r"^x is an integer beyond"):
        canonical(_double(bits), what="x")


def test_t03_the_example_of_section_3_2_2() -> None:
    source = r"""{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"""
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(json.loads(source), what="x").decode() == expected


def test_t03_keys_are_sorted_by_utf_16_as_section_3_2_3_says() -> None:
    source = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    assert list(json.loads(canonical(source, what="x")).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


def test_t03_what_means_the_same_has_one_form_and_one_digest() -> None:
    one = canonical({"b": 1.0, "a": [-0.0]}, what="x")
    other = canonical({"a": [0], "b": 1}, what="x")
    assert one == other == b'{"a":[0],"b":1}'
    assert digest_of(one) == "sha256:5744d395b80518137c34594ce4d81a11e19dbbd05dab323c04ef991106e554d2"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 50}, {"a": "50"}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {}),
        ({"a": 0}, {"a": False}),
        ({"a": []}, {"a": {}}),
        ({"a": "é"}, {"a": "e\u0301"}),  # text is never normalised
        ({"a": 0.1}, {"a": 0.10000000000000002}),
    ],
)
def test_t03_what_means_something_else_has_another_digest(one: Any, other: Any) -> None:
    assert digest_of(canonical(one, what="x")) != digest_of(canonical(other, what="x"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": float("nan")}, "payload.a is not a finite number."),
        ({"a": [1, float("inf")]}, "payload.a[1] is not a finite number."),
        ({"a": {"b": float("-inf")}}, "payload.a.b is not a finite number."),
        ({"a": 2**53}, "payload.a is an integer beyond ±(2^53 - 1)"),
        ({"a": -(2**53)}, "payload.a is an integer beyond ±(2^53 - 1)"),
        ({"a": "x\0y"}, "payload.a contains a NUL character"),
        ({"x\0y": 1}, "a key of payload contains a NUL character"),
        ({"a": "\ud800"}, "payload.a contains half of a surrogate pair"),
        ({"\udc00": 1}, "a key of payload contains half of a surrogate pair"),
        ({"a": {"odd key": "\0"}}, "a field of payload.a contains a NUL character"),
        ({"k" * 41: "\0"}, "a field of payload contains a NUL character"),
        ({"a": {1: 2}}, "payload.a has a key that is not text."),
        ({"a": b"bytes"}, "payload.a is not JSON."),
        ({"a": (1, 2)}, "payload.a is not JSON."),
        ({"a": {1, 2}}, "payload.a is not JSON."),
    ],
)
def test_t03_what_has_no_single_meaning_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        canonical(value, what="payload")
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("integer", [2**53 - 1, -(2**53 - 1)])
def test_the_largest_safe_integers_are_kept(integer: int) -> None:
    assert canonical(integer, what="x") == str(integer).encode()
    assert canonical(float(integer), what="x") == str(integer).encode()


def _nested(levels: int, leaf: object) -> object:
    for level in range(levels):
        leaf = [leaf] if level % 2 else {"a": leaf}
    return leaf


def test_nesting_is_kept_to_the_limit_and_refused_behind_it() -> None:
    assert canonical(_nested(MAX_DEPTH, 1), what="x")
    with pytest.raises(Invalid, match=f"nested deeper than {MAX_DEPTH} levels"):
        canonical(_nested(MAX_DEPTH + 1, 1), what="x")


def test_absurd_nesting_is_refused_and_not_a_crash() -> None:
    with pytest.raises(Invalid, match="nested deeper"):
        canonical(_nested(20_000, 1), what="x")


def test_ordinary_text_of_any_script_passes() -> None:
    check_text("Ünïcödé, 漢字, عربي, 😀, \n\t", "title")
    with pytest.raises(Invalid, match=r"^title contains a NUL"):
        check_text("a\0", "title")


_safe_floats = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda value: not 2**53 - 1 < abs(value) < 1e21,
)
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53 - 1), 2**53 - 1) | _safe_floats | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)


_keys = st.text(st.characters(max_codepoint=127, exclude_characters="\0"), max_size=5) | _texts
_everyday = st.recursive(
    st.none() | st.booleans() | st.integers(-1_000, 1_000) | st.floats(1e-5, 1e17) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=6),
    max_leaves=20,
)


@given(_json | _everyday)
def test_t03_every_form_is_that_of_the_rfc8785_library(value: Any) -> None:
    try:
        form = canonical(value, what="x")
    except Invalid:
        return
    assert form == rfc8785_form(value) == rfc8785.dumps(value)


@given(st.floats())
def test_t03_a_number_is_written_as_by_the_rfc8785_library_or_not_at_all(value: float) -> None:
    try:
        expected = rfc8785.dumps([value])
    except rfc8785.CanonicalizationError:
        with pytest.raises(rfc8785.CanonicalizationError):
            rfc8785_form([value])
    else:
        assert rfc8785_form([value]) == expected


@pytest.mark.parametrize("value", ["\ud800", {"\udc00": 1}, 2**53, {"a": -(2**53)}, float("nan"), {1: 2}, {"a": b"b"}])
def test_t03_what_was_read_back_and_has_no_form_has_none(value: Any) -> None:
    with pytest.raises(ValueError):
        rfc8785_form(value)


def test_what_is_read_back_may_have_a_nul_and_look_like_one() -> None:
    for text in ("\0", "\\u0000", "\\\0"):
        assert rfc8785_form({"a": text}) == rfc8785.dumps({"a": text})
    assert canonical({"a": "\\u0000"}, what="x") == rfc8785.dumps({"a": "\\u0000"})


def test_everyday_payloads_do_not_need_the_slow_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rfc8785, "dumps", None)
    payload: dict[str, Any] = {
        "to": ["Ünïcödé 😀"],
        "amount": 49.99,
        "count": 3,
        "empty": {},
        "sure": True,
        "note": None,
    }
    assert read_back(canonical(payload, what="x")) == payload


@given(_json)
def test_t03_parsing_a_canonical_form_gives_the_same_form_again(value: object) -> None:
    form = canonical(value, what="x")
    assert canonical(read_back(form), what="x") == form
    assert read_back(form) == value


@given(st.floats() | st.integers())
def test_t03_every_number_is_refused_or_read_back_as_itself(value: float) -> None:
    try:
        form = canonical(value, what="x")
    except Invalid:
        return
    assert read_back(form) == value
    assert canonical(read_back(form), what="x") == form
