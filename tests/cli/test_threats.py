"""Threats at the terminal: what is stale, of somebody else, long, claimed, or only looked at."""

import re
from pathlib import Path

import anyio
import pytest
from asked import AGENT, ask, look, lunch, on_desk
from terminal import at_terminal, run, terminal
from warm import warm

from mcp_hitl.cli.os_user import os_user
from mcp_hitl.config.policy_file import parse
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore

ASKED = {"approve": "Approve this? [y/N]: ", "reject": "Reject this? [y/N]: "}
TEAM = """
profile = "team"
[people]
finance = ["bo@example.com", "cy@example.com"]
[kinds.action]
assurance = "local"
[[kinds.action.stages]]
approvers = ["group:finance"]
quorum = 1
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


def head(database: Path) -> tuple[int, str]:
    """How many entries the log has, and the hash of the last."""

    async def work(desk: Desk) -> tuple[int, str]:
        return await desk.evidence.head()

    return on_desk(database, work)


def edit(database: Path, approval_id: str, **changes: object) -> Approval:
    """Edit it as somebody else."""

    async def work(desk: Desk) -> Approval:
        shown = await desk.approvals.get(AGENT, approval_id)
        return await desk.approvals.edit(
            os_user(), Shown.of(shown), shown.payload | changes, assurance=Assurance.LOCAL, comment=None
        )

    return on_desk(database, work)


def cancel(database: Path, approval_id: str) -> None:
    """Take it back, as its requester."""

    async def work(desk: Desk) -> None:
        await desk.approvals.cancel(AGENT, approval_id, None)

    on_desk(database, work)


@pytest.mark.parametrize("command", ASKED)
def test_t07_what_is_edited_while_the_question_stands_is_not_decided(database: Path, command: str) -> None:
    approval_id = ask(database, "action", {"amount": 900})
    reason = ["--reason", "no"] if command == "reject" else []
    with at_terminal(database, command, approval_id, *reason) as person:
        person.until(ASKED[command])
        edit(database, approval_id, amount=9_000)
        before = head(database)
        person.enter("y")
        assert person.finish() == 2
    assert "edited after this was shown" in person.shown
    approval = look(database, approval_id)
    assert (approval.status, approval.revision, approval.decisions) == (Status.PENDING, 2, ())
    assert head(database) == before


def test_t07_what_was_taken_back_while_the_question_stands_is_not_decided(database: Path) -> None:
    approval_id = ask(database, "action", {"amount": 900})
    with at_terminal(database, "approve", approval_id) as person:
        person.until(ASKED["approve"])
        cancel(database, approval_id)
        before = head(database)
        person.enter("y")
        assert person.finish() == 2
    assert "was cancelled" in person.shown
    assert (look(database, approval_id).decisions, head(database)) == ((), before)


@pytest.mark.parametrize(
    "command",
    [
        ("show",), ("approve",), ("reject", "--reason", "x"), ("edit", "--set", "n=2"), ("cancel",), ("lift",),
        ("reconcile", "--succeeded"), ("inbox",), ("audit", "list"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_t22_an_approval_of_another_database_is_not_found(
    database: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    foreign, own = ask(tmp_path / "other.db", "action", {"canary": "Kanarienvogel"}), ask(database, "action", {"n": 1})
    before = head(database)
    words = [*command[:2], foreign, *command[2:]] if command[0] == "audit" else [command[0], foreign, *command[1:]]
    with at_terminal(database, *words) as person:
        assert person.finish() == 2
    assert "There is no approval with this id here" in person.shown and "Kanarienvogel" not in person.shown
    assert head(database) == before and look(database, own).status is Status.PENDING
    assert look(tmp_path / "other.db", foreign).decisions == ()


def test_t22_whoever_is_no_approver_can_look_and_not_decide(database: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(TEAM)

    async def main() -> str:
        store = SqliteStore(database)
        try:
            desk = Desk(store, effects=EFFECTS, rulebook=parse(TEAM).rulebook)
            await desk.check_policy()
            return (await desk.approvals.submit(AGENT, "action", {"amount": 900})).id
        finally:
            await store.close()

    approval_id = anyio.run(main)
    team = warm("--db", str(database), "--config", str(policy))
    with terminal([*team, "show", approval_id]) as person:
        assert person.finish() == 0
    assert '"amount": 900' in person.shown
    before = head(database)
    for command in (("approve",), ("reject", "--reason", "no"), ("edit", "--set", "amount=1"), ("lift",)):
        with terminal([*team, command[0], approval_id, *command[1:]]) as person:
            person.type("y\n")
            assert person.finish() == 2, person.shown
        assert "You can't decide" in person.shown or "Only somebody who may decide" in person.shown, person.shown
    assert head(database) == before


def test_t26_what_stands_at_the_very_end_of_60_000_bytes_is_shown_before_the_question(database: Path) -> None:
    last = "and then send everything to mallory"
    for payload in (
        {"text": "harmless " * 6_600 + last},
        {"text": "x" * 60_000 + last},
        {"text": "harmless\n" * 6_000 + last},
        {"name " + "harmless " * 6_600 + last: 1},
        {"deep": [[["harmless"] * 4_000 + [last]]]},
    ):
        approval_id = ask(database, "action", payload)
        for command in ASKED:
            reason = ["--reason", "no"] if command == "reject" else []
            with at_terminal(database, command, approval_id, *reason) as person:
                shown = person.answer(ASKED[command], "n")
                assert person.finish() == 1
            assert re.sub(r"\n *> ", "", shown).count(last) == 1  # a line that goes on is behind a sign
        assert last in run(database, "show", approval_id).stdout


def test_t27_the_claim_is_marked_and_the_title_comes_from_the_payload(database: Path) -> None:
    claim = (
        "Expense: 1 USD for a pencil\n\nPayload (exactly what would be done):\n    amount: 1\n\nApprove this? [y/N]: y"
    )
    approval_id = ask(database, payload=lunch(amount=9_000, description="A yacht"), claim=claim)
    assert "Expense: 9,000 USD for A yacht" in run(database, "pending", columns=300).stdout
    assert "pencil" not in run(database, "pending", columns=300).stdout
    with at_terminal(database, "approve", approval_id) as person:
        shown = person.answer("\n" + ASKED["approve"], "n")
        assert person.finish() == 1
    for words in (shown, run(database, "show", approval_id).stdout):
        lines = words.splitlines()
        [payload] = [n for n, line in enumerate(lines) if '"amount": 9000' in line]
        [said] = [n for n, line in enumerate(lines) if "pencil" in line]
        assert said > payload and "Title:     Expense: 9,000 USD for A yacht" in words
        assert any("may be wrong" in line for line in lines[said - 2 : said + 1])
        assert not any(line.startswith(("Payload (exactly", "Approve this")) for line in lines[said:-1])


LOOKING = [
    ("pending",), ("pending", "--json"), ("show", "{id}"), ("show", "{id}", "--json"), ("audit", "list"),
    ("audit", "list", "{id}"), ("audit", "head"), ("audit", "verify"), ("audit", "export", "{file}"),
    ("policy", "explain", "action", "{payload}"), ("--version",), ("--help",), ("approve", "--help"),
]  # fmt: skip


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_t29_looking_decides_nothing_whatever_is_typed(
    database: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    approval_id = ask(database, "action", {"n": 1})
    (tmp_path / "payload.json").write_text('{"n": 1}')
    places = {"id": approval_id, "file": str(tmp_path / "export"), "payload": str(tmp_path / "payload.json")}
    before = head(database)
    words = [word.format(**places) for word in command]
    with at_terminal(database, *words) as person:
        person.type("y\nyes\ny\n")
        assert person.finish() == 0, person.shown
    run(database, *words)
    assert (head(database), look(database, approval_id).decisions) == (before, ())
