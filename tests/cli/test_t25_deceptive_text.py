"""T25: what an agent writes cannot deceive the eye at the terminal, in any field that it controls."""

from collections.abc import Callable
from pathlib import Path

import pytest
from asked import ask, ask_form, lunch
from deceptive import DECEPTIVE, EVERYTHING, deceptive
from terminal import at_terminal, run

from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.errors import Invalid


def expense(database: Path, evil: str) -> str:
    return ask(database, payload=lunch(description=f"x{evil}x", category=f"x{evil}x"[:100]))


def action(database: Path, evil: str) -> str:
    return ask(database, "action", {f"key{evil}": [f"x{evil}x", {"deep": evil}]}, claim=f"Title {evil}")


def question(database: Path, evil: str) -> str:
    return ask(database, "question", {"question": f"Is this {evil} fine?"})


def form(database: Path, evil: str) -> str:
    return ask_form(
        database,
        {
            "properties": {
                "city": {
                    "type": "string",
                    "title": f"City {evil}",
                    "description": f"Where {evil} to",
                    "oneOf": [{"const": "a", "title": f"A {evil}"}, {"const": "b", "title": evil + " B"}],
                },
                "note": {"type": "string", "title": f"Note {evil}", "default": "As ever"},
            }
        },
    )


def requester(database: Path, evil: str) -> str:
    return ask(database, requester=Principal(f"os:{evil}", Established.OS_USER))


@pytest.mark.parametrize("asked", [expense, action, question, requester])
def test_t25_nothing_deceptive_is_listed_or_shown(tmp_path: Path, asked: Callable[[Path, str], str]) -> None:
    database = tmp_path / "hitl.db"
    for evil in DECEPTIVE.values():
        asked(database, evil)
    listed = run(database, "pending", "--limit", "100", columns=300)
    assert listed.stdout.startswith("ID ") and f"\n{len(DECEPTIVE)} pending." in listed.stdout
    shown = run(database, "show", asked(database, EVERYTHING))
    assert (listed.returncode, shown.returncode) == (0, 0)
    for output in (listed.stdout, shown.stdout):
        assert deceptive(output) == set()
        assert "\nApprove this? [y/N]" not in output


def test_t25_nothing_deceptive_is_shown_before_the_question(tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    with at_terminal(database, "approve", action(database, EVERYTHING)) as person:
        shown = person.answer("\nApprove this? [y/N]: ", "n")
        assert person.finish() == 1
    assert deceptive(shown) == set() and "\\u001b[8mhidden" in shown


def test_t25_a_default_that_deceives_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    for evil in DECEPTIVE.values():
        with pytest.raises(Invalid, match="not plain text") as refusal:
            note = {"type": "string", "default": f"As {evil} ever"}
            ask_form(tmp_path / "hitl.db", {"properties": {"note": note}})
        assert deceptive(str(refusal.value)) == set()


def test_t25_nothing_deceptive_is_in_a_form(tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    with at_terminal(database, "approve", form(database, EVERYTHING)) as person:
        person.answer("(number of your choice, optional): ", "1")
        person.answer("ever): ", "")
        person.answer("\nApprove this? [y/N]: ", "y")
        assert person.finish() == 0
    assert deceptive(person.shown) == set() and "City \\u001b[8mhidden" in person.shown


def test_t25_numbers_beside_right_to_left_letters_stay_in_their_order(tmp_path: Path) -> None:
    """A terminal that turns such letters around leaves what is beside an isolate where it is."""
    database = tmp_path / "hitl.db"
    asked = ask(database, "action", {"to": "\u05d0 11 22", "\u05d0 11 22": 1}, claim="Pay \u05d0 11 22")
    told = run(database, "pending", columns=300).stdout + run(database, "show", asked).stdout
    assert told.count("\u2067\u05d0\u2069 11 22") == told.count("\u05d0") == 4
