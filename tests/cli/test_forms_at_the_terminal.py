"""Forms as a person fills them in at the terminal."""

from pathlib import Path
from typing import Any

import pytest
from asked import ask, ask_form, look
from terminal import END_OF_INPUT, at_terminal

from mcp_hitl.domain.approvals.approval import OutcomeState, Status

ASKED = "Approve this? [y/N]: "


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


def test_every_kind_of_field_is_asked_in_order_until_it_fits(database: Path) -> None:
    approval_id = ask_form(
        database,
        {
            "properties": {
                "nights": {"type": "integer", "title": "Nights", "minimum": 1, "description": "How long you stay"},
                "budget": {"type": "number", "title": "Budget"},
                "city": {
                    "type": "string",
                    "oneOf": [{"const": "ams", "title": "Amsterdam"}, {"const": "b", "title": "b"}],
                },
                "extras": {
                    "type": "array",
                    "title": "Extras",
                    "items": {"enum": ["wifi", "desk", "cat"]},
                    "minItems": 1,
                },
                "breakfast": {"type": "boolean"},
                "mail": {"type": "string", "format": "email"},
                "arrival": {"type": "string", "format": "date"},
                "note": {"type": "string", "title": "Note"},
                "room": {"type": "string", "default": "quiet"},
            },
            "required": ["nights", "budget", "city", "extras", "breakfast", "mail", "arrival"],
        },
    )
    with at_terminal(database, "approve", approval_id) as person:
        assert "How long you stay" in person.answer("Nights (whole number): ", "two")
        assert "Nights must be a number." in person.answer("Nights (whole number): ", "0")
        assert "Nights must be at least 1." in person.answer("Nights (whole number): ", "1.5")
        assert "Nights must be a whole number." in person.answer("Nights (whole number): ", "")
        person.answer("Nights (whole number): ", " 2 ")
        person.answer("Budget (number): ", "nan")
        assert "finite" in person.answer("Budget (number): ", "99.5")
        assert "1) Amsterdam  [ams]\n  2) b\n" in person.answer("city (number of your choice): ", "3")
        person.answer("city (number of your choice): ", "1")
        person.answer("Extras (numbers of your choices, separated by commas): ", "")
        assert "at least 1" in person.answer("Extras (numbers of your choices, separated by commas): ", "1, 1")
        assert "twice" in person.answer("Extras (numbers of your choices, separated by commas): ", "3, wifi")
        person.answer("breakfast (y/n): ", "perhaps")
        assert "must be y or n" in person.answer("breakfast (y/n): ", "N")
        person.answer("mail (email): ", "nobody")
        assert "an e-mail address" in person.answer("mail (email): ", "me@example.com")
        person.answer("arrival (date): ", "tomorrow")
        person.answer("arrival (date): ", "2026-12-01")
        person.answer("Note (optional): ", "")
        person.answer("room (optional, Enter for quiet): ", "")
        person.answer(ASKED, "y")
        assert person.finish() == 0
    assert look(database, approval_id).answer == {
        "nights": 2,
        "budget": 99.5,
        "city": "ams",
        "extras": ["cat", "wifi"],
        "breakfast": False,
        "mail": "me@example.com",
        "arrival": "2026-12-01",
        "room": "quiet",
    }


def test_a_default_is_shown_as_the_person_would_type_it(database: Path) -> None:
    sizes = [{"const": "s", "title": "Small"}, {"const": "l", "title": "Large"}]
    fields: dict[str, Any] = {
        "size": {"type": "string", "oneOf": sizes, "default": "l"},
        "extras": {"type": "array", "items": {"enum": ["wifi", "desk", "cat"]}, "default": ["cat", "wifi"]},
        "none": {"type": "array", "items": {"enum": ["wifi"]}, "default": []},
        "sure": {"type": "boolean", "default": True},
        "nights": {"type": "integer", "default": 2},
        "note": {"type": "string", "default": ""},
    }
    approval_id = ask_form(database, {"properties": fields, "required": list(fields)})
    with at_terminal(database, "approve", approval_id) as person:
        person.answer("size (number of your choice, Enter for 2) Large): ", "")
        person.answer("extras (numbers of your choices, separated by commas, Enter for 1, 3): ", "")
        person.answer("none (numbers of your choices, separated by commas, Enter for none): ", "")
        person.answer("sure (y/n, Enter for y): ", "")
        person.answer("nights (whole number, Enter for 2): ", "")
        person.answer("note (Enter for nothing): ", "")
        person.answer(ASKED, "y")
        assert person.finish() == 0
    assert look(database, approval_id).answer == {name: field["default"] for name, field in fields.items()}


@pytest.mark.parametrize("typed", ["1_000", "1_0.5", "٣"])
def test_what_only_a_programmer_would_call_a_number_is_none(database: Path, typed: str) -> None:
    approval_id = ask(database, "counter", {})
    with at_terminal(database, "approve", approval_id) as person:
        person.answer("Increase by (number): ", typed)
        person.until("Increase by must be a number.")


def test_an_untyped_question_takes_free_text(database: Path) -> None:
    approval_id = ask(database, "question", {"question": "What is it called?"})
    with at_terminal(database, "approve", approval_id) as person:
        assert "What is it called?" in person.answer("Answer: ", "")
        assert "must not be empty" in person.answer("Answer: ", "Søren’s café")
        person.answer(ASKED, "y")
        assert person.finish() == 0
    assert look(database, approval_id).answer == {"answer": "Søren’s café"}


def test_the_counter_can_be_answered_at_the_terminal_and_counts(database: Path) -> None:
    approval_id = ask(database, "counter", {})
    with at_terminal(database, "approve", approval_id) as person:
        person.answer("Increase by (number): ", "five")
        assert "Increase by must be a number." in person.answer("Increase by (number): ", "5")
        person.answer(ASKED, "y")
        assert person.finish() == 0
    approval = look(database, approval_id)
    assert (approval.outcome.state, approval.outcome.result) == (
        OutcomeState.SUCCEEDED,
        {"counter": 5, "increased_by": 5},
    )


def test_rejecting_a_question_asks_for_no_fields(database: Path) -> None:
    approval_id = ask(database, "counter", {})
    with at_terminal(database, "reject", approval_id, "--reason", "Not now") as person:
        assert "Increase by" not in person.answer("Reject this? [y/N]: ", "y")
        assert person.finish() == 0
    assert look(database, approval_id).status is Status.REJECTED


@pytest.mark.parametrize(
    "form", [{"properties": {"a": {"type": "string"}}}, {"properties": {"a": {"type": "boolean"}}}]
)
def test_the_end_of_input_within_a_form_leaves_it_pending(database: Path, form: dict[str, Any]) -> None:
    approval_id = ask_form(database, form)
    with at_terminal(database, "approve", approval_id) as person:
        person.until("optional): ")
        person.type(END_OF_INPUT)
        assert person.finish() == 1
    assert look(database, approval_id).status is Status.PENDING
