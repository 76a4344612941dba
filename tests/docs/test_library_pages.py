"""The pages about flows and the library say what is true: what following them as a reader would not show."""

import importlib.util
import itertools
import shlex
import subprocess
import sys
import tomllib
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from asked import wait_until_asked
from desk_samples import AGENT, ANA, Clock, said, say
from docs.pages import blocks
from terminal import terminal
from warm import warm
from wires import unmeasured

from mcp_hitl import Approvals, Assurance, HitlError, Kind, OutcomeState, Status
from mcp_hitl.config.policy_file import parse
from mcp_hitl.desk import Desk
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import runner_of
from mcp_hitl.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

FLOWS, FIRST_FLOW = "docs/reference/flows.md", "docs/tutorials/first-flow.md"
LIBRARY, OWN_PROGRAM = "docs/reference/library.md", "docs/how-to/decide-in-your-own-program.md"
UNKNOWN, CHANGED = "docs/how-to/settle-an-unknown-outcome.md", "docs/how-to/change-a-flow.md"
numbers = itertools.count()


def module(code: str, folder: Path) -> Any:
    """The code as a module of its own."""
    path = folder / f"block_{next(numbers)}.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = made
    spec.loader.exec_module(made)
    return made


@contextmanager
def program(code: str, folder: Path) -> Generator["subprocess.Popen[str]"]:
    """The code as a program that runs in `folder`."""
    path = folder / "program.py"
    path.write_text(code, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(path)], cwd=folder, stdout=subprocess.PIPE, text=True, env=unmeasured()
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def at_the_terminal(line: str, folder: Path, approval_id: str) -> None:
    """A person types a line of the page, and says yes where they are asked."""
    name, option, database, *arguments = shlex.split(line.replace("ID", approval_id))
    assert (name, option) == ("mcp-hitl", "--db")
    with terminal(warm("--db", str(folder / database), *arguments)) as person:
        if arguments == ["pending"]:
            person.until(approval_id)
        else:
            person.answer("[y/N]", "y")
        assert person.finish() == 0


def test_the_policy_on_the_page_runs_the_flow_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "refund.py").write_text(blocks(FIRST_FLOW, "python")[0], encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    [toml] = blocks(FLOWS, "toml")
    policy = parse(toml, check_flows=True)
    assert policy.rulebook.kinds["refund"].flow == "refund:RefundFlow"


@asynccontextmanager
async def desk_for(kind: str, folder: Path) -> AsyncGenerator[tuple[Desk, SqliteStore, Clock]]:
    """A desk that knows one kind, which has a flow."""
    store, clock = SqliteStore(folder / "hitl.db"), Clock()
    kinds = {kind: Kind(name=kind, schema={"type": "object"}, flow="given:ByTheTest")}
    yield Desk(store, effects=EFFECTS, rulebook=Rulebook(kinds=kinds), clock=clock), store, clock
    await store.close()


async def test_the_flow_with_every_step_does_what_the_page_says(tmp_path: Path) -> None:
    page = module(blocks(FLOWS, "python")[0], tmp_path)
    async with desk_for("letter", tmp_path) as (desk, store, clock):
        asked = await desk.approvals.submit(AGENT, "letter", {"to": "nobody", "text": "hello."})
        runner = runner_of(desk, {"letter": page.LetterFlow})
        await runner.catch_up()
        assert (await desk.approvals.get(AGENT, asked.id)).revision == 1
        clock.advance(timedelta(hours=8))
        await runner.catch_up()
        shown = await desk.approvals.get(AGENT, asked.id)
        assert shown.payload == {"to": "nobody", "text": "Dear reader, hello."}
        await say(desk, said(ANA, shown))
        await runner.catch_up()
        outcome = (await desk.approvals.get(AGENT, asked.id)).outcome
        assert (outcome.state, outcome.error) == (OutcomeState.FAILED, "Failed: There is nobody to send it to.")
        assert await store.write(lambda tx: tx.execute("SELECT text FROM letters")) == [("Dear reader, hello.",)]


async def test_what_is_unknown_is_settled_as_the_page_says(tmp_path: Path) -> None:
    code = blocks(FIRST_FLOW, "python")[0].replace('    return f"Paid', '    raise TimeoutError\n    return f"Paid')
    refund = module(code, tmp_path)
    approvals = Approvals(tmp_path / "refunds.db")
    approvals.add(refund.RefundFlow, Kind(name="refund", schema={}))
    async with approvals.running():
        asked = await approvals.request("A refund", {"order": 17, "amount": 1}, kind="refund")
        await approvals.approve(asked, ANA, assurance=Assurance.LOCAL)
        assert (await approvals.outcome(asked.id)).outcome.state is OutcomeState.UNKNOWN
        line = blocks(UNKNOWN, "sh")[0].strip()
        await anyio.to_thread.run_sync(at_the_terminal, line, tmp_path, asked.id)
        assert (await approvals.get(asked.id)).outcome.state is OutcomeState.SUCCEEDED


async def test_changed_code_stops_with_the_words_of_the_page(tmp_path: Path) -> None:
    code = blocks(FIRST_FLOW, "python")[0]
    waiting = 'approval = await step.wait_for_approval("finance", payload=value)'
    paying = 'approval: Any = await step.do("pay", pay, value.model_dump())'
    assert waiting in code
    before, after = module(code, tmp_path), module(code.replace(waiting, paying), tmp_path)
    async with desk_for("refund", tmp_path) as (desk, _, _):
        asked = await desk.approvals.submit(AGENT, "refund", {"order": 17, "amount": 1})
        await runner_of(desk, {"refund": before.RefundFlow}).catch_up()
        await say(desk, said(ANA, asked))
        await runner_of(desk, {"refund": after.RefundFlow}).catch_up()
        outcome = (await desk.approvals.get(AGENT, asked.id)).outcome
    assert (outcome.state, [f"{outcome.error}\n"]) == (OutcomeState.UNKNOWN, blocks(CHANGED, "text"))


def test_the_first_program_asks_and_is_told(tmp_path: Path) -> None:
    with program(blocks(LIBRARY, "python")[0], tmp_path) as billing:
        approval_id = wait_until_asked(tmp_path / "approvals.db")
        at_the_terminal("mcp-hitl --db approvals.db approve ID", tmp_path, approval_id)
        told, _ = billing.communicate(timeout=60)
    assert told == "approved {'order': 17, 'amount': 40}\n"


async def test_a_program_decides_with_its_own_sign_in(tmp_path: Path) -> None:
    [toml] = blocks(OWN_PROGRAM, "toml")
    assert tomllib.loads(toml)
    (tmp_path / "policy.toml").write_text(toml, encoding="utf-8")
    clicked_approve = module(blocks(OWN_PROGRAM, "python")[0], tmp_path).clicked_approve
    async with Approvals(tmp_path / "hitl.db", policy=tmp_path / "policy.toml").running() as approvals:
        shown = await approvals.request("Refund order 17", {"order": 17})
        with pytest.raises(HitlError):
            await clicked_approve(approvals, shown, "eve@example.com", False)
        decided = await clicked_approve(approvals, shown, "ana@example.com", True)
    assert (decided.status, decided.decisions[0].assurance) == (Status.APPROVED, Assurance.STEP_UP)
