"""T25: what an agent writes cannot deceive the eye at the terminal, in any field that it controls."""

from collections.abc import Callable
from pathlib import Path

import pytest
from asked import ask, ask_form, look, lunch
from deceptive import DECEPTIVE, EVERYTHING, deceptive
from terminal import at_terminal, run, terminal
from warm import warm

from mcp_hitl.cli.os_user import os_user
from mcp_hitl.cli.widths import cut, fold, width
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.present.differences import differences, in_lines
from mcp_hitl.present.warnings import MIXED


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


def on_screen(shown: str, columns: int) -> list[str]:
    """The lines that a terminal makes of it."""
    lines: list[str] = []
    for line in shown.replace("\u2067", "").replace("\u2069", "").split("\n"):
        row = ""
        for char in line:
            if width(row + char) > columns:
                lines.append(row)
                row = ""
            row += char
        lines.append(row)
    return lines


IMITATED = ("Decided so far:", "    ana approved it (assurance session)", "Approve this? [y/N]: y")


@pytest.mark.parametrize("filler", ["ok ", "\u6f22"], ids=["narrow", "wide"])
def test_t25_a_line_that_the_terminal_would_break_imitates_no_line_of_ours(tmp_path: Path, filler: str) -> None:
    database, columns = tmp_path / "hitl.db", 80
    begun = filler * 10
    evil = begun + " " * (columns - 13 - width(begun)) + "".join(line.ljust(columns) for line in IMITATED)
    one = ask(database, "action", {"note": evil}, claim=" " * 76 + "".join(line.ljust(columns) for line in IMITATED))
    with at_terminal(database, "approve", one, columns=columns) as person:
        shown = person.answer("\nApprove this? [y/N]: ", "n")
        assert person.finish() == 1
    with at_terminal(database, "show", one, columns=columns) as person:
        assert person.finish() == 0
        shown += person.shown
    lines = on_screen(shown, columns)
    assert not [line for line in lines if line.startswith(IMITATED)]
    assert len([line for line in lines if line.lstrip().startswith("> ") and "ana approved it" in line]) == 4
    assert (
        "".join(line.removeprefix("      > ") for line in shown.partition('"note": "')[2].split('"')[0].split("\n"))
        == evil
    )


def test_t25_wide_letters_stay_in_their_row_of_the_list(tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    for claim in ("\u6f22" * 60 + "apr_0", "\u6f22\u5b57 " * 3, "Plain"):
        ask(database, "action", {"claim": claim}, claim=claim)
    for columns in (40, 100):
        rows = run(database, "pending", columns=columns).stdout.split("\n\n")[0].splitlines()
        assert len(rows) == (6 if columns == 40 else 4) and max(map(width, rows)) <= columns


def test_a_folded_line_loses_nothing_and_keeps_marks_on_their_letters() -> None:
    for line in ("    " + "abc " * 50, "\u6f22" * 99, "e\u0301" * 90, "short", "", " " * 300 + "x"):
        for columns in (1, 45, 80):
            first, *more = fold(line, columns)
            indent = more[0].partition("> ")[0] + "> " if more else ""
            assert first + "".join(one.removeprefix(indent) for one in more) == line
            assert all(width(one) <= max(columns, 40) and not one.startswith("\u0301") for one in (first, *more))
    assert cut("\u6f22" * 9, 5) == "\u6f22\u6f22\u2026" and cut("abc", 3) == "abc"


def test_t25_an_editor_is_given_escapes_that_mean_the_same(tmp_path: Path) -> None:
    database, seen, editor = tmp_path / "hitl.db", tmp_path / "seen", tmp_path / "editor"
    one = ask(database, "action", {"a": EVERYTHING, "bank": "p\u0430ypal", "n": 1})
    editor.write_text(f'#!/bin/sh\ncp "$1" {seen}\nsed -i "s/: 1$/: 2/" "$1"\n')
    editor.chmod(0o700)
    with terminal(warm("--db", str(database), "edit", one), variables={"EDITOR": str(editor)}) as person:
        shown = person.answer("Make this change? [y/N]: ", "y")
        assert person.finish() == 0, person.shown
    assert deceptive(seen.read_text()) == set() and "p\\u0430ypal" in seen.read_text()
    assert MIXED in shown.replace("\n> ", "")
    assert look(database, one).payload == {"a": EVERYTHING, "bank": "p\u0430ypal", "n": 2}


def test_t25_a_reason_ends_no_quotation(tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    reason = "gone\u201d\nana: approve (assurance session), \u201cfine"
    one = ask(database, requester=Principal(os_user().id, Established.OS_USER))
    assert run(database, "cancel", one, "--reason", reason).returncode == 0
    told = run(database, "show", one).stdout
    assert 'Reason: \u201cgone"\\nana: approve (assurance session), "fine\u201d' in told


def test_t25_names_that_begin_alike_are_told_apart_in_a_difference() -> None:
    long = "k" * 200
    told = in_lines(differences({f"{long}1": 1, f"{long}2": 1}, {f"{long}1": 2, f"{long}2": 3}))
    assert f"{long}1\n" in told and f"{long}2\n" in told
