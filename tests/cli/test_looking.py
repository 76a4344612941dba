"""`pending` and `show`, as their reader sees them."""

import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from asked import ask, ask_all, lunch
from terminal import at_terminal, run
from wires import connect, content

from mcp_hitl.cli.os_user import os_user
from mcp_hitl.domain.policy.principal import LOOPBACK

NOBODY = "apr_00000000000000000000000000"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


def test_pending_without_a_database_makes_one_and_says_that_nothing_waits(database: Path) -> None:
    done = run(database, "pending")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Nothing is pending.\n", "")
    assert database.exists()


def test_pending_lists_the_oldest_first_with_what_tells_them_apart(database: Path) -> None:
    expense, action = ask_all(database, [("expense", lunch()), ("action", {"drop": "table"})], claim="Drop it")
    done = run(database, "pending", columns=200)
    head, first, second, blank, count = done.stdout.splitlines()
    assert head.split() == ["ID", "KIND", "ASKED", "BY", "WAITING", "EXPIRES", "IN", "TITLE"]
    assert re.fullmatch(f"{expense.id}  expense +os:agent +.*7 days +Expense: 50 USD for Lunch", first)
    assert re.fullmatch(f"{action.id}  action +os:agent +.*7 days +Drop it", second)
    assert (blank, done.returncode) == ("", 0)
    assert count.startswith("2 pending. Look at one: ") and count.endswith(f" show {expense.id}")


def test_a_narrow_terminal_shortens_titles_and_keeps_the_id(database: Path) -> None:
    approval_id = ask(database, payload=lunch(description="A very long lunch " * 20))
    rows = run(database, "pending", columns=60).stdout.splitlines()
    assert rows[1].startswith(approval_id)
    title = rows[1][rows[0].index("TITLE") :]
    assert len(rows[1]) == 60 and title.startswith("Expense: 50 USD") and title.endswith("…")


def test_pending_pages_through_everything_once(database: Path) -> None:
    asked = [approval.id for approval in ask_all(database, [("action", {"n": n}) for n in range(5)])]
    listed: list[str] = []
    cursor: list[str] = []
    while True:
        page = json.loads(run(database, "pending", "--json", "--limit", "2", *cursor).stdout)
        listed += [approval["id"] for approval in page["approvals"]]
        assert page["total"] == 5
        if "next_cursor" not in page:
            break
        cursor = ["--cursor", page["next_cursor"]]
    assert listed == sorted(asked)  # the order of ids, which is that of time but within a millisecond


def test_pending_can_be_narrowed_to_a_kind(database: Path) -> None:
    _, action = ask_all(database, [("expense", lunch()), ("action", {})])
    page = json.loads(run(database, "pending", "--kind", "action", "--json").stdout)
    assert [approval["id"] for approval in page["approvals"]] == [action.id]


def test_json_of_pending_and_show_is_what_the_tools_return(database: Path) -> None:
    # An action, which waits quietly: the server that is asked would carry an expense's flow on meanwhile.
    approval_id = ask(database, "action", {"buy": "Café ☕", "amounts": [1, 2.5]}, claim="Café ☕")

    async def tools() -> tuple[Any, Any]:
        async with connect(database, "2026-07-28") as client:
            listed = await client.call_tool("list-pending", {})
            got = await client.call_tool("get-approval", {"id": approval_id})
            return content(listed), content(got)

    def but_for_its_page(approval: dict[str, Any]) -> dict[str, Any]:
        # Which depends on who serves the inbox at the moment: the server did, and has ended.
        return {name: value for name, value in approval.items() if name not in {"url", "next"}}

    listed, got = anyio.run(tools)
    printed = json.loads(run(database, "pending", "--json").stdout)
    assert [*map(but_for_its_page, printed["approvals"])] == [*map(but_for_its_page, listed["approvals"])]
    assert printed | {"approvals": []} == dict(listed) | {"approvals": []}
    shown = json.loads(run(database, "show", approval_id, "--json").stdout)
    assert but_for_its_page(shown) == but_for_its_page(got)


def test_show_tells_a_person_everything_and_how_to_decide(database: Path) -> None:
    approval_id = ask(database)
    with at_terminal(database, "show", approval_id) as person:
        assert person.finish() == 0
    for fact in ("expense", "os:agent", approval_id, "revision 1", "sha256:", '"amount": 50', '"description": "Lunch"'):
        assert fact in person.shown
    assert f" approve {approval_id}\n" in person.shown
    assert f" reject {approval_id} --reason 'why not'\n" in person.shown


def test_t17_show_names_no_deciding_command_where_a_model_may_read_along(database: Path) -> None:
    approval_id = ask(database)
    shown = run(database, "show", approval_id).stdout
    assert '"amount": 50' in shown and "Pending. A person decides it at a terminal." in shown
    assert " approve " not in shown and " reject " not in shown


def test_show_of_a_cancelled_approval_says_so_and_offers_no_decision(database: Path) -> None:
    approval_id = ask(database, requester=os_user())
    run(database, "cancel", approval_id)
    done = run(database, "show", approval_id)
    assert "Cancelled." in done.stdout.splitlines()
    assert "approve" not in done.stdout


@pytest.mark.parametrize("unknown", [NOBODY, "lunch", "apr_'; DROP TABLE approvals; --", "\x1b[2J"])
def test_an_unknown_id_is_refused_with_one_sentence_and_no_echo(database: Path, unknown: str) -> None:
    done = run(database, "show", unknown)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mcp-hitl: There is no approval with this id here.")
    assert done.stderr.count("\n") == 1 and unknown not in done.stderr


def test_with_json_a_refusal_is_json_too(database: Path) -> None:
    done = run(database, "show", NOBODY, "--json")
    error = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (2, "")
    assert sorted(error) == ["code", "message"] and error["code"] == "not_found"


def test_a_foreign_cursor_is_refused(database: Path) -> None:
    done = run(database, "pending", "--json", "--cursor", "next")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (2, "invalid")


def test_an_encoding_that_lacks_a_character_shows_an_escape_instead_of_failing(database: Path) -> None:
    ask(database, payload=lunch(description="Lunch 😀"))
    done = run(database, "pending", columns=200, variables={"PYTHONIOENCODING": "latin-1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "Lunch \\U0001f600" in done.stdout


@pytest.mark.parametrize("columns", [30, 40, 51, 52, 60, 80, 120])
def test_pending_fits_the_terminal_and_leaves_the_title_room(database: Path, columns: int) -> None:
    asked = ask_all(database, [("expense", lunch(description=f"Lunch with the whole team, {n}")) for n in range(3)])
    lines = run(database, "pending", columns=columns).stdout.partition("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= columns
    assert all(any(approval.id in line for line in lines) for approval in asked)
    assert sum("Expense: 50 USD for" in line for line in lines) == 3


def test_a_client_of_this_machine_is_called_an_agent(database: Path) -> None:
    approval_id = ask(database, requester=LOOPBACK)
    assert "an agent on this machine" in run(database, "pending", columns=200).stdout
    assert "Asked by:  an agent on this machine" in run(database, "show", approval_id).stdout
