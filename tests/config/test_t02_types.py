"""T2: a wrong type or a missing field never helps a payload past a rule that approves."""

from collections.abc import Callable
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_hitl.config.policy_file import read
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.present.explanation import Ending, explain

EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
BOOKS = {path.stem: read(path).rulebook for path in sorted(EXAMPLES.glob("*.toml"))}


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    return is_number(value) and value == int(cast("float", value))


def is_list(value: object) -> bool:
    return isinstance(value, list)


def is_table(value: object) -> bool:
    return isinstance(value, dict)


COLLEAGUES = {"eve@example.com", "fox@example.com", "lee@example.com"}

APPROVED: dict[tuple[str, str, str], tuple[JsonObject, Callable[[JsonObject], bool]]] = {
    ("expenses-and-payments", "expense", "petty cash"): (
        {"amount": 19.9, "currency": "USD", "description": "Lunch"},
        lambda p: is_number(p["amount"]) and 0 < p["amount"] < 25 and p["currency"] in ("USD", "EUR"),
    ),
    ("publishing-and-email", "publish", "staging"): (
        {"site": "staging", "headline": "x", "body": "y"},
        lambda p: p["site"] == "staging",
    ),
    ("publishing-and-email", "email", "to colleagues"): (
        {"to": ["eve@example.com"], "subject": "x", "body": "y"},
        lambda p: is_list(p["to"]) and all(to in COLLEAGUES for to in p["to"]) and "attachments" not in p,
    ),
    ("bulk-deletion-and-export", "delete", "test rows"): (
        {"system": "test", "table": "users", "filter": "id = 7", "rows": 1},
        lambda p: p["system"] == "test" and is_whole(p["rows"]) and p["rows"] <= 1000 and p["table"] != "audit_log",
    ),
    ("access", "grant", "reading in dev"): (
        {"who": "x", "resource": {"name": "db", "stage": "dev"}, "role": "reader", "hours": 8, "reason": "y"},
        lambda p: (
            is_table(p["resource"])
            and p["resource"]["stage"] == "dev"
            and p["role"] == "reader"
            and is_whole(p["hours"])
            and p["hours"] <= 8
        ),
    ),
}
"""For each approving rule of the examples: a payload that it approves, and in plain Python what it may approve."""


def test_t02_every_approving_rule_of_the_examples_is_attacked_here() -> None:
    rules = {
        (name, kind.name, rule.name)
        for name, book in BOOKS.items()
        for kind in book.kinds.values()
        for rule in kind.rules
        if rule.decide is Verdict.APPROVE
    }
    assert rules == set(APPROVED)


@pytest.mark.parametrize("key", APPROVED, ids="-".join)
def test_t02_what_fits_is_approved_by_that_very_rule(key: tuple[str, str, str]) -> None:
    explained = explain(BOOKS[key[0]], key[1], APPROVED[key][0])
    assert (explained.ending, explained.judgement and explained.judgement.rule) == (
        Ending.APPROVED,
        next(rule for rule in BOOKS[key[0]].kinds[key[1]].rules if rule.name == key[2]),
    )


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where anything stands in a payload."""
    items: Any = []
    if isinstance(value, dict):
        items = cast("JsonObject", value).items()
    elif isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
    return [*([path] if path else []), *(found for name, part in items for found in paths(part, (*path, name)))]


def same_in_another_type(value: Any) -> st.SearchStrategy[Any]:
    """What looks like the value, or like nothing."""
    return st.sampled_from(
        [
            str(value),
            [value],
            {"value": value},
            None,
            True,
            False,
            0,
            0.0,
            "",
            [],
            {},
            -1,
            1,
            10**9,
            "50000",
            "1e9",
            "NaN",
        ]
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("key", APPROVED, ids="-".join)
@given(data=st.data())
def test_t02_another_type_or_a_missing_field_is_refused_or_held_and_never_passed(
    key: tuple[str, str, str], data: st.DataObject
) -> None:
    fits, may_pass = APPROVED[key]
    payload = deepcopy(fits)
    for _ in range(data.draw(st.integers(1, 3))):
        places = paths(payload)
        if not places:
            break
        *way, last = data.draw(st.sampled_from(places))
        holder = reduce(getitem, way, cast("Any", payload))
        if data.draw(st.booleans()):
            del holder[last]
        else:
            holder[last] = data.draw(same_in_another_type(holder[last]) | JSON)
    ending = explain(BOOKS[key[0]], key[1], payload).ending
    # What the rule may pass is said independently of JSON Schema; a KeyError would be a missing field that passed.
    assert ending is not Ending.APPROVED or may_pass(payload)
