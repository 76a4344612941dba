"""The evidence: each attack on the file is found and placed, exports verify anywhere, erasing breaks nothing."""

import json
import logging
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from desk_samples import ANA as AT_THE_MACHINE
from desk_samples import Clock, hour, said, say, views
from team_samples import AGENT, FINANCE, PAIR, a_kind, a_rulebook, edited, person, told

from mcp_hitl.desk import Desk
from mcp_hitl.desk.evidence import FORMAT
from mcp_hitl.desk.exports import verify_export
from mcp_hitl.desk.verifying import Finding
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.evidence.chain import Recorded, content_digest, hash_of
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.evidence.ledger import Broken
from mcp_hitl.domain.policy.forms import define
from mcp_hitl.domain.policy.policy import Assurance, Policy, Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Conflict, Invalid
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.rows import recorded_of
from mcp_hitl.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]
ANA, BO, CY = person("ana"), person("bo"), person("cy")
FORM = define({"properties": {"center": {"type": "string"}}, "required": ["center"]})
_THINGS = a_rulebook(PAIR)
_RULE = Rule(name="tiny", when={"properties": {"n": {"const": 0}}, "required": ["n"]}, decide=Verdict.APPROVE)
BOOK = replace(
    _THINGS,
    kinds={
        "thing": a_kind(PAIR, rules=(_RULE,)),
        "form": replace(a_kind(Policy(stages=(FINANCE,))), name="form", form=FORM),
    },
)


@contextmanager
def untriggered(db: sqlite3.Connection) -> Generator[None]:
    """Without the triggers in the block; afterwards nobody sees that they were away."""
    triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    yield
    for _, trigger in triggers:
        db.execute(trigger)


@dataclass
class History:
    """A database in which a little of everything happened; its approvals by name."""

    desk: Desk
    path: Path
    ids: dict[str, str]
    head: str

    async def verify(self, expect: str | None = None) -> str | None:
        return (await self.desk.evidence.verify(expect=expect)).wrong

    def attack(self, *statements: str) -> None:
        """Run statements on the file with plain SQLite, past every trigger and check; the triggers come back."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            with untriggered(db):
                for statement in statements:
                    for name, id_ in self.ids.items():
                        statement = statement.replace(f":{name}", f"'{id_}'")
                    assert db.execute(statement).rowcount != 0, statement

    def chain_anew(self, first: int) -> None:
        """Compute the hashes from this entry on, as somebody would who knows how."""
        columns = "seq, approval, event, revision, actor, established, assurance, at, data, previous, hash"
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db, untriggered(db):
            previous = db.execute("SELECT hash FROM audit WHERE seq = ?", (first - 1,)).fetchone()[0]
            for row in db.execute(f"SELECT {columns} FROM audit WHERE seq >= ? ORDER BY seq", (first,)).fetchall():
                recorded = recorded_of(row)
                made = hash_of(recorded.seq, recorded.entry, previous)
                db.execute("UPDATE audit SET previous = ?, hash = ? WHERE seq = ?", (previous, made, recorded.seq))
                previous = made


async def a_history(desk: Desk, path: Path) -> History:
    paid = await desk.approvals.submit(AGENT, "thing", {"n": 1, "note": "Grüße 😀"})  # 1
    await say(desk, said(ANA, paid, comment="Fine"))  # 2
    paid = await say(desk, said(BO, paid))  # 3, 4
    await desk.approvals.redeem(AGENT, paid.id, paid.digest)  # 5
    await desk.approvals.report(AGENT, paid.id, True, "Wired as 42")  # 6
    changed = await desk.approvals.submit(AGENT, "thing", {"n": 2})  # 7
    await say(desk, said(BO, changed, comment="Before"))  # 8
    await edited(desk, ANA, changed, {"n": 3}, comment="Less")  # 9
    await desk.approvals.cancel(AGENT, changed.id, "Not needed")  # 10
    answered = await desk.approvals.submit(AGENT, "form", {"n": 1})  # 11
    await say(desk, said(ANA, answered, answer={"center": "7"}, looked=timedelta(seconds=3)))  # 12, 13
    tiny = await desk.approvals.submit(AGENT, "thing", {"n": 0})  # 14, 15, 16
    refused = await desk.approvals.submit(AGENT, "thing", {"n": 5})  # 17
    await say(desk, said(BO, refused, Verdict.REJECT, comment="No"))  # 18, 19
    failed = await desk.approvals.submit(AGENT, "form", {"n": 9})  # 20
    failed = await say(desk, said(BO, failed, answer={"center": "8"}))  # 21, 22
    await desk.approvals.redeem(AGENT, failed.id, failed.digest)  # 23
    await desk.approvals.report(AGENT, failed.id, False, "No funds")  # 24
    pending = await desk.approvals.submit(AGENT, "thing", {"n": 6})  # 25
    await say(desk, said(ANA, pending))  # 26
    await desk.stops.pause(CY)  # 27
    await desk.stops.resume(CY)  # 28
    named = {"paid": paid, "changed": changed, "answered": answered, "tiny": tiny, "refused": refused}
    ids = {name: one.id for name, one in (named | {"failed": failed, "pending": pending}).items()}
    return History(desk, path, ids, (await desk.evidence.head())[1])


@pytest.fixture
async def history(under: Under, file: Path) -> History:
    """A database in which a little of everything happened."""
    return await a_history(under(BOOK), file)


async def test_what_nobody_touched_is_intact(history: History) -> None:
    for expect in (None, history.head):
        assert await history.desk.evidence.verify(expect=expect) == Finding(28, history.head)


async def test_an_empty_log_is_intact_and_its_head_is_the_databases_own(desk: Desk, foreign: Desk) -> None:
    seq, genesis = await desk.evidence.head()
    assert seq == 0 and genesis != (await foreign.evidence.head())[1]
    assert await desk.evidence.verify() == await desk.evidence.verify(expect=genesis) == Finding(0, genesis)


async def test_t35_the_file_refuses_every_change_of_the_log(history: History) -> None:
    with closing(sqlite3.connect(history.path, isolation_level=None)) as db:
        for change in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "DELETE FROM decisions"):
            with pytest.raises(sqlite3.IntegrityError):
                db.execute(change)
    assert await history.verify(history.head) is None


ATTACKS = [
    # The log itself
    ("UPDATE audit SET actor = 'mallory' WHERE seq = 3", "entry 3 was changed"),
    ("UPDATE audit SET at = at + 1 WHERE seq = 1", "entry 1 was changed"),
    ("UPDATE audit SET data = '{}' WHERE seq = 26", "entry 26 was changed"),
    ("UPDATE audit SET assurance = 'step-up' WHERE seq = 2", "entry 2 was changed"),
    ("UPDATE audit SET hash = 'sha256:0' WHERE seq = 4", "entry 4 was changed"),
    ("UPDATE audit SET previous = 'sha256:0' WHERE seq = 4", "entry 4 was changed"),
    ("UPDATE audit SET event = 'invented' WHERE seq = 7", "entry 7 was changed: it cannot be read"),
    ("UPDATE audit SET data = 'no JSON' WHERE seq = 27", "entry 27 was changed: it cannot be read"),
    ("UPDATE audit SET at = 9000000000000000 WHERE seq = 9", "entry 9 was changed: it cannot be read"),
    ("DELETE FROM audit WHERE seq = 1", "entry 1 is missing"),
    ("DELETE FROM audit WHERE seq = 12", "entry 12 is missing: entry 13 follows entry 11"),
    ("DELETE FROM audit WHERE seq BETWEEN 2 AND 5", "entry 2 is missing: entry 6 follows entry 1"),
    ("DELETE FROM audit WHERE seq >= 25", ":pending is stored, but no entry opened it"),
    ("DELETE FROM audit WHERE seq >= 24", "the outcome of :failed is failed; the log says running"),
    ("DELETE FROM audit", "is stored, but no entry opened it"),
    ("UPDATE facts SET value = 'other' WHERE name = 'database'", "entry 1 does not continue the chain"),
    # What is stored beside it
    ("UPDATE approvals SET status = 'approved', resolved_at = 1, next_at = NULL WHERE id = :pending",
     ":pending is stored as approved; the log says pending"),
    ("UPDATE approvals SET status = 'rejected' WHERE id = :paid", ":paid is stored as rejected; the log says approved"),
    ("UPDATE approvals SET status = 'pending', resolved_at = NULL, next_at = 1 WHERE id = :refused",
     ":refused is stored as pending; the log says rejected"),
    ("UPDATE approvals SET status = 'whatever' WHERE id = :paid", ":paid was changed: it cannot be read"),
    ("UPDATE approvals SET resolved_at = resolved_at + 60000 WHERE id = :paid", ":paid is stored as ended at another"),
    ("""UPDATE approvals SET payload = '{"n":100}' WHERE id = :paid""", "payload of :paid does not match its digest"),
    ("UPDATE approvals SET payload = 'no JSON' WHERE id = :paid", ":paid was changed: it cannot be read"),
    ("UPDATE approvals SET digest = 'sha256:0' WHERE id = :paid", ":paid has another digest or revision"),
    ("UPDATE approvals SET revision = 1 WHERE id = :changed", ":changed has another digest or revision"),
    ("UPDATE approvals SET requester = 'mallory' WHERE id = :pending", ":pending has another requester"),
    ("UPDATE approvals SET kind = 'form' WHERE id = :pending", ":pending has another requester, kind"),
    ("UPDATE approvals SET requested_at = 1 WHERE id = :pending", ":pending has another requester, kind, beginning"),
    ("UPDATE approvals SET requested_as = 'os-user' WHERE id = :pending", ":pending has another requester"),
    ("UPDATE approvals SET asked_digest = digest WHERE id = :changed", ":changed has another requester, kind"),
    ("UPDATE approvals SET rule = NULL WHERE id = :tiny", "the rule that applied to :tiny is not the one"),
    ("UPDATE approvals SET rule = 'tiny' WHERE id = :paid", "the rule that applied to :paid is not the one"),
    ("UPDATE approvals SET erased_at = 1 WHERE id = :refused", ":refused is stored as erased at another time"),
    ("INSERT INTO expenses VALUES (:pending, '6', 'USD', 'x', NULL)", ":pending, which is pending"),
    ("INSERT INTO expenses VALUES (:refused, '6', 'USD', 'x', NULL)", ":refused, which is rejected"),
    ("INSERT INTO expenses VALUES (:paid, '6', 'USD', 'x', NULL)", "the expense stored for :paid is not"),
    ("INSERT INTO expenses VALUES ('apr_0', '6', 'USD', 'x', NULL)", "for apr_0, which is not in the log"),
    ("""UPDATE approvals SET answer = '{"center":"8"}' WHERE id = :answered""", "answer or the reason of :answered"),
    ("UPDATE approvals SET answer = NULL WHERE id = :answered", "answer or the reason of :answered"),
    ("UPDATE approvals SET reason = 'Because' WHERE id = :changed", "the answer or the reason of :changed"),
    ("UPDATE approvals SET reason = NULL WHERE id = :changed", "the answer or the reason of :changed"),
    ("""UPDATE approvals SET outcome = '{"state":"none","result":null,"error":null}' WHERE id = :paid""",
     "the outcome of :paid is none; the log says succeeded"),
    ("UPDATE approvals SET outcome = replace(outcome, '42', '43') WHERE id = :paid",
     "the result or error of :paid does not"),
    ("UPDATE approvals SET outcome = replace(outcome, 'No funds', 'Typo') WHERE id = :failed",
     "the result or error of :failed does not"),
    ("UPDATE approvals SET policy = replace(policy, '\"quorum\": 2', '\"quorum\": 1') WHERE id = :pending",
     "the policy or the deadline of :pending is not"),
    ("UPDATE approvals SET policy = replace(policy, '\"quorum\": 2', '\"quorum\": 3') WHERE id = :paid",
     "the policy or the deadline of :paid is not"),
    ("UPDATE approvals SET expires_at = expires_at + 86400000 WHERE id = :pending", "the deadline of :pending is not"),
    ("UPDATE approvals SET title = 'Harmless' WHERE id = :pending", "the title, the claim or the form of :pending"),
    ("UPDATE approvals SET claim = 'Harmless' WHERE id = :pending", "the title, the claim or the form of :pending"),
    ("UPDATE approvals SET asked = 9 WHERE id = :pending", ":pending was requested 1 times by the log, but 9 times"),
    ("UPDATE approvals SET escalated = '[\"mallory\"]' WHERE id = :pending", ":pending was escalated to somebody"),
    ("UPDATE approvals SET cooldown_until = 1 WHERE id = :paid", "the cooldown of :paid is not the one"),
    ("INSERT INTO pauses VALUES ('', 'mallory', 9000000000000000)", "something stored beside the log cannot be read"),
    ("UPDATE approvals SET escalated = '[[]]' WHERE id = :pending", ":pending was changed: it cannot be read"),
    ("UPDATE approvals SET answer = '1e999' WHERE id = :answered", ":answered was changed: it cannot be read"),
    ("INSERT INTO pauses VALUES ('', 'mallory', 1)", "the stored pauses are not those in the log"),
    ("UPDATE approvals SET policy = 'no JSON' WHERE id = :paid", ":paid was changed: it cannot be read"),
    ("DELETE FROM approvals WHERE id = :pending", ":pending is in the log, but is no longer stored"),
    ("""UPDATE contents SET value = '"Excellent"' WHERE value = '"Fine"'""", "a content of :paid does not match"),
    ("""UPDATE contents SET value = '{"n":1}' WHERE value = '{"n":2}'""", "a content of :changed does not match"),
    ("""DELETE FROM contents WHERE value = '"Fine"'""", "the decisions on :paid are not those"),
    ("""DELETE FROM contents WHERE value = '{"n":2}'""", "the edits of :changed are not those"),
    ("DELETE FROM edits WHERE approval = :changed", "the edits of :changed are not those"),
    ("UPDATE edits SET editor = 'bo'", "the edits of :changed are not those"),
    ("DELETE FROM decisions WHERE approval = :paid AND approver = 'bo'", "the decisions on :paid are not those"),
    ("UPDATE decisions SET approver = 'cy' WHERE approval = :paid AND approver = 'bo'", "decisions on :paid are not"),
    ("UPDATE decisions SET verdict = 'reject' WHERE approval = :pending", "the decisions on :pending are not those"),
    ("UPDATE decisions SET assurance = 'session' WHERE approval = :paid", "the decisions on :paid are not those"),
    ("UPDATE decisions SET established = 'os-user' WHERE approval = :paid", "the decisions on :paid are not those"),
    ("UPDATE decisions SET looked = 60000 WHERE approval = :answered", "the decisions on :answered are not those"),
    ("UPDATE decisions SET at = at - 1 WHERE approval = :paid", "the decisions on :paid are not those"),
    ("UPDATE decisions SET stage = 2 WHERE approval = :pending", "the decisions on :pending are not those"),
    ("UPDATE decisions SET approver = 'policy:other' WHERE approval = :tiny", "the decisions on :tiny are not those"),
    ("INSERT INTO decisions (approval, revision, stage, approver, established, verdict, assurance, at) "
     "VALUES (:pending, 1, 1, 'bo', 'program', 'approve', 'local', 1)", "the decisions on :pending are not those"),
    ("INSERT INTO approvals SELECT 'apr_00000000000000000000000000', kind, title, claim, status, payload, digest, "
     "revision, requester, requested_at, expires_at, resolved_at, policy, form, dedup_key, cooldown_until, asked, "
     "answer, reason, outcome, stage_since, timed_to, next_at, escalated, flow, rule, erased_at, asked_digest, "
     "requested_as, definition, code, size FROM approvals "
     "WHERE id = :paid", "apr_00000000000000000000000000 is stored, but no entry opened it"),
]  # fmt: skip


@pytest.mark.parametrize(("attack", "wrong"), ATTACKS, ids=[attack[:90] for attack, _ in ATTACKS])
async def test_t35_an_attack_is_found_and_placed(history: History, attack: str, wrong: str) -> None:
    history.attack(attack)
    found = await history.verify()
    for name, id_ in history.ids.items():
        wrong = wrong.replace(f":{name}", id_)
    assert found is not None and wrong in found


@pytest.mark.parametrize("change", ["by = 'mallory'", "at = at - 1", "kind = 'thing'"])
async def test_t35_who_stopped_what_and_when_is_what_the_log_says(history: History, change: str) -> None:
    await history.desk.stops.pause(CY)
    assert await history.verify() is None
    history.attack(f"UPDATE pauses SET {change}")
    assert await history.verify() == "the stored pauses are not those in the log"


async def test_t35_a_cut_tail_is_found_by_who_kept_the_head(history: History) -> None:
    history.attack("DELETE FROM audit WHERE seq > 26")  # what nothing stored speaks of
    assert await history.verify() is None
    found = await history.verify(history.head)
    assert found is not None and found.startswith("the chain ends with entry 26 and does not contain the expected hash")


async def test_t35_a_chain_that_was_written_anew_is_found_by_who_kept_the_head(history: History) -> None:
    history.attack("UPDATE audit SET actor = 'mallory' WHERE seq = 27")
    history.chain_anew(27)
    assert await history.verify() is None
    found = await history.verify(history.head)
    assert found is not None and "does not contain the expected hash" in found


async def test_t35_a_chain_that_was_written_anew_does_not_fit_what_is_stored(history: History) -> None:
    history.attack("UPDATE audit SET actor = 'mallory' WHERE seq = 3")
    history.chain_anew(3)
    assert await history.verify() == f"the decisions on {history.ids['paid']} are not those in the log"


async def test_t35_another_file_in_its_place_is_found_by_who_kept_the_head(history: History, foreign: Desk) -> None:
    foreign.rulebook = BOOK
    other = await a_history(foreign, Path())
    assert await other.verify(other.head) is None
    found = await other.verify(history.head)
    assert found is not None and "this is another database" in found


async def test_t35_a_head_that_was_kept_long_ago_is_still_in_the_chain(history: History) -> None:
    for recorded in await history.desk.evidence.entries():
        assert await history.verify(recorded.hash) is None
    first = (await history.desk.evidence.entries())[0]
    assert await history.verify(first.previous) is None  # kept when there was nothing yet


async def test_t35_an_attack_far_into_a_long_log_is_placed_too(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_hitl.desk.verifying.ENTRIES", 4)
    assert await history.verify(history.head) is None
    history.attack("UPDATE audit SET event = 'invented' WHERE seq = 23")
    assert await history.verify() == "entry 23 was changed: it cannot be read"


async def test_a_trail_is_verified_entry_by_entry(history: History) -> None:
    trail = await history.desk.approvals.trail(AGENT, history.ids["paid"])
    assert trail.verified
    # Rewritten together with its own hash, it does not stand where it stood.
    last = trail.entries[-1]
    forged = replace(last.entry, actor="os:mallory")
    rewritten = hash_of(last.seq, forged, last.previous)
    history.attack(f"UPDATE audit SET actor = 'os:mallory', hash = '{rewritten}' WHERE seq = {last.seq}")
    assert (await history.desk.approvals.trail(AGENT, history.ids["paid"])).verified is False


async def export(desk: Desk, *, redact: bool = False) -> list[str]:
    lines: list[str] = []
    count = await desk.evidence.export(lines.append, redact=redact)
    assert count == len(lines) - 2
    return lines


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script that the documentation gives to whoever wants to check an export."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "verify-the-log.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    path = tmp_path_factory.mktemp("script") / "verify.py"
    path.write_text(code, encoding="utf-8")
    return path


def run(script: Path, lines: list[str], folder: Path, *expect: str) -> tuple[int, str]:
    file = folder / "export.jsonl"
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", script, file, *expect], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("redact", [False, True])
async def test_an_export_verifies_without_the_database_here_and_in_anybodys_code(
    history: History, script: Path, tmp_path: Path, redact: bool
) -> None:
    lines = await export(history.desk, redact=redact)
    for expect in (None, history.head):
        assert verify_export(iter(lines), expect=expect) == Finding(28, history.head)
    assert run(script, lines, tmp_path, history.head) == (0, f"intact: 28 entries, {history.head}")
    header, first = json.loads(lines[0]), json.loads(lines[1])
    assert (header["format"], header["redacted"]) == (FORMAT, redact)
    contents = {"contents": {first["data"]["payload"]: {"n": 1, "note": "Grüße 😀"}}}
    assert {name: first[name] for name in ("contents", "redacted") if name in first} == ({} if redact else contents)


async def test_the_order_of_fields_is_no_matter_of_the_log(desk: Desk, script: Path, tmp_path: Path) -> None:
    asked = await desk.approvals.submit(AGENT, "action", {"to": "ana", "n": 1.0, "mail": {"z": "é", "a": 1}})
    changed = await edited(desk, AT_THE_MACHINE, asked, {"to": "bo", "n": 2, "mail": {"z": "é", "a": 1}, "cc": "x"})
    assert (list(changed.payload), list(changed.edits[0].before)) == (["to", "n", "mail", "cc"], ["to", "n", "mail"])
    finding = await desk.evidence.verify()
    assert finding.wrong is None
    lines = await export(desk)
    assert verify_export(iter(lines)) == finding
    assert run(script, lines, tmp_path, finding.head)[0] == 0


async def test_an_export_holds_what_people_wrote_and_a_redacted_one_does_not(history: History) -> None:
    words = ["Grüße 😀", "Fine", "Before", "Less", "Not needed"]
    whole, redacted = "\n".join(await export(history.desk)), "\n".join(await export(history.desk, redact=True))
    assert all(word in whole for word in words)
    assert not any(word in redacted for word in words)


async def test_what_changed_in_an_export_is_found_and_placed(history: History, script: Path, tmp_path: Path) -> None:
    lines = await export(history.desk)

    def changed(number: int, **changes: Any) -> list[str]:
        return [*lines[:number], json.dumps(json.loads(lines[number]) | changes), *lines[number + 1 :]]

    def end_after(number: int) -> str:
        head = json.loads(lines[number])["hash"] if number else content_digest(json.loads(lines[0])["database"])
        return json.dumps({"entries": number, "head": head})

    digest = json.loads(lines[2])["data"]["comment"]
    attacks: list[tuple[list[str], str, str | None]] = [
        (changed(3, actor="mallory"), "line 4: entry 3 was changed", "entry 3 was changed"),
        (
            changed(2, contents={digest: "Excellent"}),
            "line 3: a content of entry 2",
            "a content of entry 2 was changed",
        ),
        (
            changed(1, contents={content_digest({"n": 5000}): {"n": 5000}}),
            "line 2: the data of entry 1 does not name one of its contents",
            "a content of entry 1 does not belong to it",
        ),
        (
            changed(2, contents={digest: "Fine", "": "Paid"}),
            "line 3: the data of entry 2 does not name one of its contents",
            "a content of entry 2 was changed",
        ),
        (changed(3, verdict="approve"), "line 4: entry 3 has a field that no entry has", "entry 3 was changed"),
        (
            [*lines[:5], *lines[6:]],
            "line 6: entry 5 is missing",
            "entry 5 was changed, or an entry before it is missing",
        ),
        ([*lines[:5], lines[6], lines[5], *lines[7:]], "line 6: entry 5 is missing", "entry 5 was changed"),
        (changed(0, database="other"), "line 2: entry 1 does not continue the chain", "entry 1 was changed"),
        ([*lines[:-2], end_after(27)], "the chain ends with entry 27 and does not contain", "the hash that you kept"),
        ([lines[0], end_after(0)], "the chain ends with entry 0 and does not contain", "the hash that you kept"),
        (lines[:-1], "line 29: the export ends here without its last line", "the last line does not fit"),
        ([*lines[:-1], end_after(27)], "line 30: the export has 27 entries, but 28", "the last line does not fit"),
        ([*lines[:9], "{", *lines[9:]], "line 10 cannot be read", None),
        ([*lines[:9], "5", *lines[9:]], "line 10: it is not an entry", None),
        ([*lines[:9], "", *lines[9:]], "line 10 cannot be read", None),
        (changed(4, contents=[1]), "line 5 cannot be read", None),
        (changed(4, data={"n": 2**60}), "line 5: entry 4 was changed", None),
        (changed(4, event="invented"), "line 5: it is not an entry", None),
    ]
    for attacked, wrong, in_the_script in attacks:
        found = verify_export(iter(attacked), expect=history.head)
        assert found.wrong is not None and wrong in found.wrong
        if in_the_script is not None:
            code, said_so = run(script, attacked, tmp_path, history.head)
            assert code == 1 and in_the_script in said_so


@pytest.mark.parametrize("lines", [[], ["no JSON"], ["5"], ["{}"], ["[]"]])
async def test_what_is_no_export_is_refused(lines: list[str]) -> None:
    with pytest.raises(Broken, match="is an export"):
        verify_export(iter(lines))


SECRET = "CANARY-7f3a"
SECRETS: JsonObject = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "token": {"type": "string", "writeOnly": True},
        "login": {"type": "object", "properties": {"password": {"type": "string", "writeOnly": True}}},
        "keys": {"type": "array", "items": {"type": "object", "properties": {"key": {"writeOnly": True}}}},
        "vault": {"type": "object", "writeOnly": True},
    },
}


def a_secret(n: int) -> JsonObject:
    return {
        "n": n,
        "token": f"{SECRET}-1-{n}",
        "login": {"user": "bo", "password": f"{SECRET}-2-{n}"},
        "keys": [{"key": {"x": f"{SECRET}-3"}, "name": "a"}],
        "vault": {"deep": [f"{SECRET}-4"]},
    }


async def test_t36_a_secret_is_in_no_list_no_export_and_no_log(under: Under, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    desk = under(a_rulebook(PAIR, schema=SECRETS))
    asked = await desk.approvals.submit(AGENT, "thing", a_secret(1))
    now = await edited(desk, ANA, asked, a_secret(2))
    with pytest.raises(Invalid) as refused:
        await desk.approvals.submit(AGENT, "thing", {"token": [SECRET], "n": SECRET})
    page = views(desk).page_shape(await desk.search.pending(AGENT))
    (listed,) = page["approvals"]
    assert listed["payload"] == {
        "n": 2,
        "token": "[redacted]",
        "login": {"user": "bo", "password": "[redacted]"},
        "keys": [{"key": "[redacted]", "name": "a"}],
        "vault": "[redacted]",
    }
    told_of = [
        json.dumps(page),
        views(desk).summary(now),
        json.dumps(views(desk).shape(now)["edits"]),
        str(refused.value),
    ]
    trail = (await desk.approvals.trail(AGENT, asked.id)).entries
    told_of += [json.dumps(recorded.as_json()) for recorded in trail]
    for redact in (False, True):
        lines = await export(desk, redact=redact)
        assert verify_export(iter(lines)).wrong is None
        told_of += lines
    assert json.loads(lines[-1]).get("redacted") is None
    whole = [json.loads(line) for line in await export(desk)][1:]
    assert whole[0]["redacted"] == [asked.digest]
    assert sorted(whole[1]["redacted"]) == sorted([asked.digest, now.digest])
    bo, nobody = person("bo"), person("zoe")
    seen = [await desk.approvals.get(who, asked.id, deciding=Assurance.LOCAL) for who in (bo, nobody, AGENT)]
    assert [SECRET in json.dumps(one.payload) for one in seen] == [True, False, False]  # whoever decides, alone
    told_of += [json.dumps(views(desk).shape(one)) for one in (now, await desk.approvals.get(bo, asked.id), *seen[1:])]
    await told(desk, asked, "bo approves")
    await told(desk, asked, "eve approves")
    ended = await desk.approvals.get(bo, asked.id, deciding=Assurance.LOCAL)
    told_of += [json.dumps(views(desk).shape(ended)), caplog.text]
    assert not [text for text in told_of if SECRET in text]
    assert SECRET in json.dumps(
        (await desk.approvals.redeem(AGENT, asked.id, now.digest)).payload
    )  # and whoever acts on it now


async def test_t36_of_a_kind_that_is_not_known_here_nothing_is_shown_in_lists_and_exports(under: Under) -> None:
    knowing = under(a_rulebook(PAIR, schema=SECRETS))
    asked = await knowing.approvals.submit(AGENT, "thing", a_secret(1))
    now = await edited(knowing, ANA, asked, a_secret(2))
    desk = under(Rulebook())
    told_of = (
        json.dumps(views(desk).page_shape(await desk.search.pending(AGENT)))
        + "".join(await export(desk))
        + views(desk).summary(now)
    )
    assert SECRET not in told_of
    assert verify_export(iter(await export(desk))).wrong is None


def everything_stored(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return "".join(repr(db.execute(f"SELECT * FROM {table}").fetchall()) for table in tables)


async def test_erasing_leaves_a_log_that_verifies_and_exports(
    history: History, script: Path, tmp_path: Path, clock: Clock
) -> None:
    desk = history.desk
    clock.advance(hour(1))
    assert await desk.evidence.erase(CY, older_than=hour(1)) == 6  # all but the pending one
    assert await desk.evidence.erase(CY, older_than=hour(1)) == 0
    assert await history.verify(history.head) is None
    lines = await export(desk)
    head = (await desk.evidence.head())[1]
    assert verify_export(iter(lines), expect=history.head) == Finding(34, head)
    assert run(script, lines, tmp_path, history.head)[0] == 0
    stored = everything_stored(history.path)
    for words in ("Grüße", "Fine", "Before", "Less", "Not needed", "No funds", "Wired", "'{\"n\":3}'"):
        assert words not in stored and words not in "".join(lines)
    paid = await desk.approvals.get(AGENT, history.ids["paid"])
    assert (paid.status, paid.title, paid.payload, paid.erased_at) == (Status.APPROVED, "(erased)", None, clock())
    assert [(decision.approver, decision.comment) for decision in paid.decisions] == [("ana", None), ("bo", None)]
    changed = await desk.approvals.get(AGENT, history.ids["changed"])
    assert "(erased)" in views(desk).summary(changed) and views(desk).shape(changed)["edits"][0]["changes"] == []
    assert (await desk.approvals.get(AGENT, history.ids["pending"])).payload == {"n": 6}
    erased = [one.entry for one in await desk.evidence.entries()][28:]
    assert {(entry.event, entry.actor) for entry in erased} == {(Event.ERASED, "cy")}


async def test_t10_the_same_key_joins_what_was_erased(under: Under, clock: Clock, file: Path) -> None:
    desk = under(a_rulebook(Policy(stages=(FINANCE,))))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1}, dedup_key="invoice 17")
    assert await told(desk, asked, "ana approves") == "approved"
    clock.advance(timedelta(days=400))
    assert await desk.evidence.erase(CY, older_than=timedelta(days=365)) == 1
    again = await desk.approvals.submit(AGENT, "thing", {"n": 1}, dedup_key="invoice 17")
    assert (again.id, again.status, again.payload, again.asked) == (asked.id, Status.APPROVED, None, 2)
    with pytest.raises(Conflict, match="Use a new key"):
        await desk.approvals.submit(AGENT, "thing", {"n": 2}, dedup_key="invoice 17")
    assert (await desk.evidence.verify()).wrong is None
    assert "invoice 17" not in everything_stored(file)


def files_with(word: str, folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if word.encode() in path.read_bytes()]


async def test_what_was_erased_is_gone_from_the_files_too_at_the_latest_after_their_last_reader(
    under: Under, elsewhere: Desk, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1, "note": "CANARY"})
    await elsewhere.approvals.cancel(AGENT, asked.id)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM approvals").fetchall()
        assert await desk.evidence.erase(None, older_than=timedelta()) == 1
        assert "keep traces of the erased contents until the next erasure" in caplog.text
        assert files_with("CANARY", tmp_path) == ["hitl.db-wal"]
    assert await desk.evidence.erase(None, older_than=timedelta()) == 0
    assert files_with("CANARY", tmp_path) == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("attack", "wrong"),
    [
        ("UPDATE approvals SET status = 'rejected' WHERE id = :paid", "is stored as rejected"),
        ("UPDATE decisions SET approver = 'cy' WHERE approval = :paid AND approver = 'bo'", "the decisions on"),
        ("UPDATE approvals SET digest = 'sha256:0' WHERE id = :paid", "another digest"),
    ],
)
async def test_t35_attacks_on_what_was_erased_are_found_too(
    history: History, clock: Clock, attack: str, wrong: str
) -> None:
    await history.desk.evidence.erase(None, older_than=timedelta())
    assert await history.verify() is None
    history.attack(attack)
    found = await history.verify()
    assert found is not None and wrong in found


async def test_only_what_ended_long_enough_ago_and_is_over_is_erased(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    old = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await desk.approvals.cancel(AGENT, old.id)
    running = await desk.approvals.submit(AGENT, "thing", {"n": 0})
    await desk.approvals.redeem(AGENT, running.id, running.digest)
    clock.advance(hour(24))
    young = await desk.approvals.submit(AGENT, "thing", {"n": 3})
    await desk.approvals.cancel(AGENT, young.id)
    clock.advance(hour(24) - timedelta(milliseconds=1))
    assert await desk.evidence.erase(None, older_than=hour(48)) == 0
    clock.advance(timedelta(milliseconds=1))
    assert await desk.evidence.erase(None, older_than=hour(48)) == 1
    now = [await desk.approvals.get(AGENT, one.id) for one in (old, running, young)]
    assert [one.erased_at is not None for one in now] == [True, False, False]
    await desk.approvals.report(AGENT, running.id, True)
    assert await desk.evidence.erase(None, older_than=hour(48)) == 1


async def test_a_cooldown_holds_also_for_what_was_erased(under: Under) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await told(desk, asked, "ana rejects")
    await desk.evidence.erase(None, older_than=timedelta())
    again = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    assert (again.id, again.status, again.payload) == (asked.id, Status.REJECTED, None)


@pytest.mark.parametrize(
    ("looked", "seconds", "ms"),
    [(timedelta(milliseconds=40), 0.04, 40), (timedelta(seconds=90), 90, 90_000), (None, None, None)],
)
async def test_t18_how_long_a_person_looked_is_recorded_and_told(
    under: Under, looked: timedelta | None, seconds: float | None, ms: int | None
) -> None:
    desk = under(a_rulebook(Policy(stages=(FINANCE,))))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    approved = await say(desk, said(ANA, asked, looked=looked))
    assert approved.decisions[0].looked == looked
    assert views(desk).shape(approved)["decisions"][0]["looked_seconds"] == seconds
    (_, decided, _) = (await desk.approvals.trail(AGENT, asked.id)).entries
    assert decided.entry.data.get("looked_ms") == ms
    assert (decided.entry.established, decided.entry.assurance) == ("program", Assurance.LOCAL)
    assert approved.decisions[0].established == "program"


async def test_two_stores_write_one_chain(under: Under, elsewhere: Desk) -> None:
    desk = under(BOOK)
    elsewhere.rulebook = BOOK
    for n in range(20):
        asked = await (desk if n % 2 else elsewhere).approvals.submit(AGENT, "thing", {"n": n + 1})
        await (elsewhere if n % 2 else desk).approvals.cancel(AGENT, asked.id)
    assert (await elsewhere.evidence.verify()).entries == 40
    assert await desk.evidence.verify() == await elsewhere.evidence.verify()


@pytest.fixture
async def closed(tmp_path: Path, clock: Clock) -> AsyncGenerator[Path]:
    """A file that no process has open."""
    store = SqliteStore(tmp_path / "closed.db")
    await a_history(Desk(store, effects=EFFECTS, rulebook=BOOK, clock=clock), tmp_path / "closed.db")
    await store.close()
    yield tmp_path / "closed.db"


async def test_a_log_is_the_same_after_opening_it_again(closed: Path, clock: Clock) -> None:
    for _ in range(2):
        store = SqliteStore(closed)
        evidence = Desk(store, effects=EFFECTS, rulebook=BOOK, clock=clock).evidence
        entries = await evidence.entries()
        assert all(isinstance(one, Recorded) and one.intact for one in entries)
        assert await evidence.verify(expect=entries[-1].hash) == Finding(28, entries[-1].hash)
        await store.close()
