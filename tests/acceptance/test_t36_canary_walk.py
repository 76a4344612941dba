"""T36: a secret at every place of a payload, and every way out of the desk, for people who do not decide.

Whatever is new has no line in a table here, and fails: a tool, a resource, a prompt, a page, a command, a column.
"""

import json
import logging
import os
import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import click
import pytest
from asked import AGENT
from mcp import MCPError
from server.rig import KEY, Clock
from starlette.routing import Route
from terminal import run
from web.attack import program
from web.rig import Place, serving
from wires import Person, accept, connect

from mcp_hitl import Failed, Flow, Step
from mcp_hitl.cli.main import cli
from mcp_hitl.config.policy_file import read
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.process.desk_views import views_of
from mcp_hitl.process.workers import timers_of
from mcp_hitl.protocols.mcp.callers import always
from mcp_hitl.server.app import ApprovalServer
from mcp_hitl.server.tools import TOOLS
from mcp_hitl.web.app import Inbox

pytestmark = pytest.mark.anyio

CANARY = "kanarienvogel"
APPROVER = Principal("os:approver", Established.OS_USER)
STRANGER = Principal("os:stranger", Established.OS_USER)
EVERY = 1 if os.environ.get("SOAK") else 6
"""The terminal is asked about each such approval: a process each time."""
ENDS = (
    "pending edited approved rejected expired cancelled redeemed reported waiting failed unknown progressed erased"
).split()

_SCHEMA = """schema = { type = "object", properties = { n = { type = "string" }, pin = { writeOnly = true }, \
deep = { properties = { key = { writeOnly = true } } }, vault = { type = "object", writeOnly = true }, \
list = { type = "array", items = { properties = { key = { writeOnly = true } } } }, \
items = { type = "array", items = { writeOnly = true } } } }
stages = [{ approvers = ["os:approver"] }]
title = "Open {n}"
"""
POLICY = f"""
[kinds.vault]
{_SCHEMA}
[kinds.short]
{_SCHEMA}timeout = "1 minute"
[kinds.door]
{_SCHEMA}flow = "canary_walk:Door"
"""


def payload(n: str, which: str = "1") -> JsonObject:
    """One with a canary at every place that can be marked; `which` tells revisions apart."""
    secret = f"{CANARY}-{which}"
    return {
        "n": n,
        "pin": secret,
        "deep": {"key": [secret], "other": 1},
        "vault": {secret: secret},
        "list": [{"key": {"x": secret}}, {"key": secret}],
        "items": [secret, [secret]],
    }


class Door(Flow[Any, Any]):
    """Reports, and ends as the payload says, with an error that has the secret in it in several ways."""

    kind = "door"

    async def run(self, value: Any, step: Step) -> Any:
        await step.report("look", f"at {value['pin']}")
        approval = await step.wait_for_approval("people", payload=value)
        secret = approval.payload["pin"]

        async def act() -> None:
            if value["n"] == "failed":
                raise Failed("x" * 470 + secret)
            if value["n"] == "unknown":
                raise KeyError("x" * 260 + json.dumps({"pin": secret}))

        await step.do("act", act, at_most_once=True)
        return {"done": True}


async def decide(place: Place, approval: Approval, verdict: Verdict = Verdict.APPROVE) -> Approval:
    """The approver decides."""
    shown = Shown.of(await place.desk.approvals.get(AGENT, approval.id))
    return await place.desk.decisions.decide(APPROVER, shown, verdict, assurance=Assurance.LOCAL, comment="So be it.")


async def eventually_over(desk: Desk, id_: str) -> None:
    """Return when the flow of an approval has ended."""
    changed = anyio.Event()
    async with desk.feed.listen(id_, lambda _: changed.set()):
        while (await desk.approvals.get(AGENT, id_)).outcome.state in {OutcomeState.NONE, OutcomeState.RUNNING}:
            await changed.wait()
            changed = anyio.Event()


async def every_end(place: Place, clock: Clock) -> dict[str, str]:
    """An approval for each of `ENDS`; returns their ids. All but one were edited, too."""
    desk, ids = place.desk, dict[str, str]()
    of_kind = {"expired": "short"} | dict.fromkeys(("waiting", "failed", "unknown", "progressed"), "door")
    for end in ENDS:
        kind = of_kind.get(end, "vault")
        asked = await desk.approvals.submit(AGENT, kind, payload(end), claim=f"It is {end}")
        ids[end] = asked.id
        if kind != "door" and end != "pending":
            new = payload(end, "2")
            asked = await desk.approvals.edit(APPROVER, Shown.of(asked), new, assurance=Assurance.LOCAL)
        match end:
            case "approved" | "redeemed" | "reported" | "failed" | "unknown" | "progressed":
                now = await decide(place, asked)
                if end in {"redeemed", "reported"}:
                    await desk.approvals.redeem(AGENT, asked.id, now.digest)
                if end == "reported":
                    await desk.approvals.report(AGENT, asked.id, False, "It did not open.")
            case "rejected" | "erased":
                await decide(place, asked, Verdict.REJECT)
            case "cancelled":
                await desk.approvals.cancel(AGENT, asked.id)
            case _:
                pass
        if end == "erased":
            assert await desk.evidence.erase(None, older_than=timedelta(0)) > 0
    clock.ahead = timedelta(minutes=2)
    await timers_of(desk).turn()
    with anyio.fail_after(30):
        for end in ("failed", "unknown", "progressed"):
            await eventually_over(desk, ids[end])
    return ids


@asynccontextmanager
async def full_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[tuple[Place, dict[str, str]]]:
    """An inbox on a database with an approval for each end, all in one process."""
    module = ModuleType("canary_walk")
    module.__dict__["Door"] = Door
    monkeypatch.setitem(sys.modules, "canary_walk", module)
    (tmp_path / "policy.toml").write_text(POLICY)
    clock = Clock()
    async with serving(tmp_path / "hitl.db", rulebook=read(tmp_path / "policy.toml").rulebook, clock=clock) as place:
        yield place, await every_end(place, clock)


Told = list[tuple[str, str]]
"""What came out, and where."""


def leaks(told: Told) -> list[str]:
    """Where a canary came out."""
    return [where for where, text in told if CANARY in text]


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Every line of the log with its traceback, but those of the test's own HTTP client, which has sought a canary."""
    lines = [one for one in caplog.records if not one.name.startswith("http")]
    return "\n".join(map(logging.Formatter().format, lines))


TOOL_ARGUMENTS: dict[str, Callable[[str], JsonObject]] = {
    "increase-counter": lambda _: {"confirm": True},
    "submit-expense": lambda _: {"amount": 5, "description": "Taxi"},
    "request-approval": lambda _: {"title": "Mine", "kind": "vault", "details": {"n": 5, "pin": "guess"}},
    "ask-human": lambda id_: {"question": f"What is in {id_}?"},
    "list-pending": lambda _: {"limit": 100},
    "get-approval": lambda id_: {"id": id_},
    "wait-for-approval": lambda id_: {"id": id_, "timeout_seconds": 0},
    "approve": lambda id_: {"id": id_},
    "reject": lambda id_: {"id": id_, "reason": "no"},
    "edit-approval": lambda id_: {"id": id_, "payload": {"n": "guess", "pin": "guess"}},
    "cancel-approval": lambda id_: {"id": id_},
    "redeem-approval": lambda id_: {"id": id_, "digest": "sha256:0"},
    "report-outcome": lambda id_: {"id": id_, "succeeded": True},
    "audit-trail": lambda id_: {"id": id_},
}
RESOURCES = {"approvals://pending", "approvals://{id}", "audit://{id}"}
PROMPTS = {"review-pending"}


@pytest.mark.parametrize("caller", [STRANGER, AGENT], ids=["stranger", "requester"])
async def test_t36_no_tool_resource_prompt_or_notice_tells_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, caller: Principal
) -> None:
    caplog.set_level(logging.DEBUG)
    assert set(TOOLS) == set(TOOL_ARGUMENTS), "a new tool needs a line in the table"
    told, notices = Told(), list[str]()

    async def note(message: object) -> None:
        notices.append(str(message))

    async with full_desk(tmp_path, monkeypatch) as (place, ids):
        desk = place.desk
        control = await desk.approvals.get(APPROVER, ids["pending"], deciding=Assurance.LOCAL)
        assert CANARY in str(control.payload), "the approver sees it, so it can be told"
        views = views_of(desk, inbox="in the inbox")
        server = ApprovalServer(desk, always(caller), views=views, key=KEY, form_seconds=0.1)
        person = Person(accept(decision="approve"), accept())
        async with connect(server.mcp, "2025-11-25", person=person, on_message=note) as client:
            templates = (await client.list_resource_templates()).resource_templates
            found = {str(one.uri) for one in (await client.list_resources()).resources}
            assert found | {one.uri_template for one in templates} == RESOURCES
            assert {one.name for one in (await client.list_prompts()).prompts} == PROMPTS
            for name in PROMPTS:
                told.append((name, str(await client.get_prompt(name))))
            for end, id_ in ids.items():
                for uri in sorted(RESOURCES):
                    where = uri.format(id=id_)
                    told.append((f"{uri} of {end}", str(await client.read_resource(where))))
                for name, arguments in TOOL_ARGUMENTS.items():
                    try:
                        answer = str(await client.call_tool(name, arguments(id_)))
                    except MCPError as error:
                        answer = str(error)
                    told.append((f"{name} of {end}", answer))
        told += [("a form", shown.message) for shown in person.shown] + [("a notice", one) for one in notices]
    told.append(("the log", logged(caplog)))
    assert len(told) > len(ids) * (len(TOOL_ARGUMENTS) + 3)
    assert leaks(told) == []


PAGES = {
    ("GET", "/"),
    ("GET", "/history"),
    ("GET", "/numbers"),
    ("GET", "/approvals/{id}"),
    ("POST", "/approvals/{id}/decide"),
    ("GET", "/approvals/{id}/edit"),
    ("POST", "/approvals/{id}/edit"),
    ("POST", "/approvals/{id}/cancel"),
    ("POST", "/approvals/{id}/lift"),
    ("POST", "/approvals/{id}/reconcile"),
    ("GET", "/batch"),
    ("POST", "/batch"),
    ("GET", "/evidence"),
    ("POST", "/evidence/verify"),
    ("GET", "/evidence/export"),
    ("GET", "/changes"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("GET", "/inbox/identity"),
    ("POST", "/sign-out"),
}
ELSEWHERE = {("GET", "/live"), ("GET", "/assets/{digest}/{file}")}
"""A stream of what `/changes` says, and files of the program."""
QUERIES = {"/batch": "?id={id}", "/changes": "?after=0", "/": f"?text={CANARY}", "/history": f"?text={CANARY}"}


async def test_t36_no_page_tells_somebody_who_does_not_decide_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = Told()
    async with full_desk(tmp_path, monkeypatch) as (place, ids), program(place) as http:
        routes = [one for one in Inbox(place.desk, key=KEY, how="").app.routes if isinstance(one, Route)]
        served = {(method, one.path) for one in routes for method in (one.methods or ()) if method != "HEAD"}
        assert served == PAGES | ELSEWHERE, "a new page needs a line in the table"
        headers = place.headers(await place.signed_in())
        form = {"revision": "2", "digest": "sha256:0", "shown": "x", "verdict": "approve", "succeeded": "yes"}
        last = [one for one in PAGES if one == ("POST", "/sign-out")]
        for end, id_ in ids.items():
            for method, path in [*sorted(PAGES - set(last)), *(last if end == ENDS[-1] else ())]:
                for query in {"", QUERIES.get(path, "").format(id=id_), "?as=json" if path.endswith("edit") else ""}:
                    url = path.format(id=id_) + query
                    data = form | {"payload": json.dumps({"n": "guess"})} if method == "POST" else None
                    answer = await http.request(method, url, headers=headers, data=data)
                    body = answer.text.replace(f'value="{CANARY}"', "").replace(f"text={CANARY}", "")
                    body = body.replace(f'data-text="{CANARY}"', "")
                    told.append((f"{method} {url} of {end}", f"{answer.headers} {body}"))
        lines = list[str]()
        for redact in (False, True):
            await place.desk.evidence.export(lines.append, redact=redact)
        told.append(("an export", "\n".join(lines)))
    told.append(("the log", logged(caplog)))
    assert leaks(told) == []


COMMANDS: dict[str, list[str] | None] = {
    "approve": ["ID", "--yes"],
    "reject": ["ID", "--reason", "no", "--yes"],
    "edit": ["ID", "--set", "n=guess"],
    "cancel": ["ID"],
    "lift": ["ID"],
    "reconcile": ["ID", "--succeeded"],
    "show": ["ID", "--json"],
    "audit list": ["ID", "--json"],
    "pending": [],
    "audit export": ["EXPORT"],
    "audit head": [],
    "audit verify": [],
    "doctor": ["--json"],
    "policy check": ["POLICY"],
    "policy explain": ["vault", "GUESS"],
    "pause": [],
    "resume": [],
    "reset-clock": [],
    "audit erase": ["--older-than", "1000 days"],
    "backup": None,
    "migrate": None,
    "restore": None,
    "serve": None,
    "inbox": None,
    "install": None,
    "completion": None,
}
"""What each is called with. None: it copies the whole file, serves what is walked above, or reads no approval."""


def leaves(group: click.Group, before: str = "") -> Iterator[str]:
    """Every command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield before + name


async def test_t36_no_command_tells_somebody_who_does_not_decide_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(leaves(cli)) == set(COMMANDS), "a new command needs a line in the table"
    async with full_desk(tmp_path, monkeypatch) as (_, ids):
        pass
    (tmp_path / "guess.json").write_text('{"n": "guess", "pin": "guess"}')
    told, exported = Told(), tmp_path / "export.jsonl"
    for end, id_ in [*ids.items()][::EVERY]:
        names = {
            "ID": id_,
            "EXPORT": str(exported),
            "POLICY": str(tmp_path / "policy.toml"),
            "GUESS": str(tmp_path / "guess.json"),
        }
        for command, arguments in COMMANDS.items():
            if arguments is None or ("ID" not in arguments and end != ENDS[0]):
                continue
            words = [*command.split(), *(names.get(one, one) for one in arguments)]
            policy = ("--config", names["POLICY"])
            done = await anyio.to_thread.run_sync(partial(run, tmp_path / "hitl.db", *policy, *words))
            assert "Traceback" not in done.stderr
            told.append((f"{command} of {end}", done.stdout + done.stderr))
    told.append(("the export", await anyio.Path(exported).read_text(encoding="utf-8")))
    assert leaks(told) == []


HELD = {
    ("approvals", "payload"),
    ("edits", "before"),
    ("edits", "after"),
    ("contents", "value"),
    ("journal", "output"),
}
"""Columns in which a payload stands."""


def columns_with_it(database: Path) -> set[tuple[str, str]]:
    """The columns of the database in which a canary stands."""
    with closing(sqlite3.connect(database)) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = [(table, row[1]) for table in tables for row in db.execute(f"PRAGMA table_info({table})")]
        like = f"%{CANARY}%"
        return {
            (table, column)
            for table, column in columns
            if db.execute(f'SELECT 1 FROM "{table}" WHERE "{column}" LIKE ? LIMIT 1', (like,)).fetchone()
        }


async def test_t36_the_database_holds_a_secret_as_a_payload_alone_and_once_erased_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with full_desk(tmp_path, monkeypatch) as (place, ids):
        held = columns_with_it(tmp_path / "hitl.db")
        assert ("approvals", "payload") in held and held <= HELD
        desk = place.desk
        for end in ("pending", "edited", "waiting"):
            await desk.approvals.cancel(AGENT, ids[end])
        for end in ("unknown", "redeemed"):
            await desk.decisions.reconcile(APPROVER, ids[end], True, assurance=Assurance.LOCAL)
        assert (await desk.evidence.verify()).wrong is None
    async with serving(tmp_path / "hitl.db", rulebook=read(tmp_path / "policy.toml").rulebook) as place:
        await place.desk.evidence.erase(None, older_than=-timedelta(days=1))
        assert (await place.desk.evidence.verify()).wrong is None
    assert columns_with_it(tmp_path / "hitl.db") == set()
    files = {file.name: await file.read_bytes() async for file in anyio.Path(tmp_path).glob("hitl*")}
    assert "hitl.db" in files and [name for name, held in files.items() if CANARY.encode() in held] == []
