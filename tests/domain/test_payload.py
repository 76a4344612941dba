"""A payload: its order is the reader's, its digest is nobody's."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_hitl.domain.values.canonical import JsonObject, canonical, digest_of
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.payload import arranged_like, payload_of

MAIL: JsonObject = {"to": "all@example.com", "subject": "Hello", "body": "…", "attached": [{"name": "a", "bytes": 2.0}]}

plain: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("zyxw"), inner, max_size=4),
    max_leaves=12,
)


def test_fields_stay_in_the_order_in_which_they_were_given_at_every_depth() -> None:
    value = payload_of(MAIL, {"type": "object"}).value
    assert list(value) == ["to", "subject", "body", "attached"]
    assert list(value["attached"][0]) == ["name", "bytes"]


def test_fields_that_the_schema_names_come_first_in_its_order_at_every_depth() -> None:
    schema: JsonObject = {
        "properties": {
            "body": {},
            "cc": {},
            "to": {},
            "attached": {"items": {"properties": {"bytes": {}, "name": {}}}},
        }
    }
    value = payload_of(MAIL, schema).value
    assert list(value) == ["body", "to", "attached", "subject"]
    assert list(value["attached"][0]) == ["bytes", "name"]


def test_values_are_those_of_the_canonical_form() -> None:
    value = payload_of(MAIL, {}).value
    assert str(value["attached"][0]["bytes"]) == "2"


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(Invalid, match="payload"):
        payload_of({"to": float("nan")}, {})


@given(st.dictionaries(st.sampled_from("abcdef"), plain, max_size=6), st.permutations("abcdef"))
def test_the_order_changes_neither_digest_nor_value(given: JsonObject, order: list[str]) -> None:
    shuffled = {name: given[name] for name in order if name in given}
    one, other = payload_of(given, {}), payload_of(shuffled, {"properties": {name: {} for name in reversed(order)}})
    assert one.digest == other.digest == digest_of(canonical(given, what="it"))
    assert one.value == other.value
    assert canonical(one.value, what="it") == one.canonical == canonical(other.value, what="it")


def test_an_earlier_revision_is_read_in_the_order_of_the_present_one() -> None:
    present: JsonObject = {"to": "ana", "lines": [{"sku": "a", "count": 2}], "body": "x"}
    before: JsonObject = {"body": "y", "gone": 1, "lines": [{"count": 1, "sku": "a"}, {"n": 1, "a": 2}], "to": "bo"}
    arranged = arranged_like(before, present)
    assert arranged == before and list(arranged) == ["to", "lines", "body", "gone"]
    assert [list(line) for line in arranged["lines"]] == [["sku", "count"], ["n", "a"]]
    assert arranged_like(None, present) is None
