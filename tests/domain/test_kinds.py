"""A kind admits the payloads that it describes, titles them from their own fields, and knows their form."""

import re
from dataclasses import replace
from typing import Any

import pytest

from mcp_hitl.domain.policy.forms import FREE_TEXT, define
from mcp_hitl.domain.policy.kinds import ACTION, BUILT_IN, COUNTER, EXPENSE, MAX_TITLE, QUESTION, Limits
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid

LUNCH: JsonObject = {"amount": 49.99, "currency": "USD", "description": "Lunch"}


def test_what_is_admitted_comes_back_in_its_canonical_form() -> None:
    assert EXPENSE.admit(LUNCH).canonical == b'{"amount":49.99,"currency":"USD","description":"Lunch"}'
    assert EXPENSE.admit({**LUNCH, "category": "food"}).canonical.startswith(b'{"amount":49.99,"category":"food"')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": "49.99"}, "payload.amount must be a number."),
        ({"amount": True}, "payload.amount must be a number."),
        ({"amount": 0}, "payload.amount must be greater than 0."),
        ({"amount": -5}, "payload.amount must be greater than 0."),
        ({"amount": float("nan")}, "payload.amount is not a finite number."),
        ({"amount": 49.999}, "amount must have at most 2 decimals in USD."),
        ({"amount": 100.5, "currency": "JPY"}, "amount must have at most 0 decimals in JPY."),
        ({"amount": 0.1 + 0.2}, "amount must have at most 15 significant digits."),
        ({"currency": "usd"}, "payload.currency must match the pattern"),
        ({"currency": "USDT"}, "payload.currency must match the pattern"),
        ({"description": ""}, "payload.description must not be empty."),
        ({"description": "x" * 2001}, "payload.description must have at most 2000 characters."),
        ({"category": None}, "payload.category must be text."),
        ({"approved": True}, "payload has a field that is not allowed here."),
    ],
)
def test_an_expense_that_does_not_fit_is_refused(change: JsonObject, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        EXPENSE.admit({**LUNCH, **change})
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("name", ["amount", "currency", "description"])
def test_an_expense_that_lacks_a_field_is_refused_before_its_amount_is_looked_at(name: str) -> None:
    with pytest.raises(Invalid, match=f"payload lacks the field '{name}'"):
        EXPENSE.admit({key: value for key, value in LUNCH.items() if key != name})


def test_a_payload_beyond_the_kinds_size_is_refused() -> None:
    small = replace(ACTION, limits=Limits(payload_bytes=20))
    assert small.admit({"a": "x" * 12}).canonical == b'{"a":"xxxxxxxxxxxx"}'
    with pytest.raises(Invalid) as refused:
        small.admit({"a": "x" * 13})
    assert str(refused.value) == "payload has 21 bytes; the kind 'action' takes at most 20."


@pytest.mark.parametrize(
    ("template", "payload", "title"),
    [
        ("Expense: {amount} {currency}", {"amount": 50, "currency": "USD"}, "Expense: 50 USD"),
        ("{missing} stays open", {}, "? stays open"),
        ("{a.__class__.__mro__}", {"a": 1}, "?"),
        ("{a[0]}", {"a": [1]}, "?"),
        ("{a:>1000000}", {"a": 1}, "1"),
        ("{a!r}", {"a": "x"}, "'x'"),
        ("{}", {"0": "zero"}, "zero"),
        ("{a}", {"a": "{b}", "b": "never"}, "{b}"),
        ("{a}", {"a": "x\u202ey"}, "x\\u202ey"),
        ("{{literal}}", {}, "{literal}"),
    ],
)
def test_a_title_takes_whole_fields_and_reaches_no_further(template: str, payload: JsonObject, title: str) -> None:
    assert replace(ACTION, title=template).title_of(payload, None) == title


def test_the_agents_words_never_replace_a_kinds_own_title() -> None:
    assert EXPENSE.title_of(LUNCH, "Totally harmless") == "Expense: 49.99 USD for Lunch"


def test_a_kind_without_a_title_takes_the_agents_on_one_visible_line() -> None:
    assert ACTION.title_of({}, "Deploy\nnow\x1b[2J") == "Deploy\\nnow\\u001b[2J"
    assert ACTION.title_of({}, None) == ACTION.title_of({}, "") == "action"


def test_a_long_title_is_cut_and_says_so() -> None:
    title = QUESTION.title_of({"question": "x" * 4000}, None)
    assert title.startswith("x" * MAX_TITLE + "…")
    assert re.search(r"\+\d", title)


@pytest.mark.parametrize(
    ("payload", "form"),
    [
        ({"question": "Why?"}, FREE_TEXT),
        (
            {"question": "Sure?", "form": {"properties": {"ok": {"type": "boolean"}}}},
            {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": []},
        ),
    ],
)
def test_a_question_brings_its_own_form_or_asks_for_free_text(payload: JsonObject, form: Any) -> None:
    QUESTION.admit(payload)
    assert QUESTION.form_of(payload) == form


def test_a_question_with_a_form_outside_the_specification_is_refused_by_its_field() -> None:
    with pytest.raises(Invalid, match="form field 'secret' of type string may have only"):
        QUESTION.admit({"question": "?", "form": {"properties": {"secret": {"type": "string", "const": "x"}}}})


def test_only_kinds_with_a_form_have_one() -> None:
    assert EXPENSE.form_of(LUNCH) is None
    assert ACTION.form_of({"form": {}}) is None
    counter = COUNTER.form_of({})
    assert counter is not None and define(counter) == counter


def test_questions_and_the_counter_know_no_cooldown_and_join_only_by_key() -> None:
    assert {name for name, kind in BUILT_IN.items() if kind.cooldown is None} == {"question", "counter"}
    assert {name for name, kind in BUILT_IN.items() if not kind.joins_equal} == {"question", "counter"}
    assert all(name == kind.name for name, kind in BUILT_IN.items())


def test_t25_a_payload_with_two_names_that_look_the_same_is_refused() -> None:
    for one, other in (("\u00e9", "e\u0301"), ("\ufb01le", "file")):
        with pytest.raises(Invalid, match="two fields whose names look the same"):
            ACTION.admit({"deep": [{one: 1, other: 2}]})
        ACTION.admit({one: 1, "deep": {other: 2}})
