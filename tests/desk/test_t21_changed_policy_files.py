"""T21: a process that runs takes over a changed policy file, and decides nothing by one with mistakes."""

import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from asked import lunch
from desk_samples import AGENT, ANA, BO, Clock, WatchedStore, said, say

from mcp_hitl import Approvals
from mcp_hitl.cli.os_user import os_user
from mcp_hitl.config import load
from mcp_hitl.config.policy_file import parse
from mcp_hitl.config.policy_source import PolicySource
from mcp_hitl.desk import Desk
from mcp_hitl.desk.feed import ANY
from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.kinds import ACTION
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid, NotAllowed
from mcp_hitl.engine.policy_check import PolicyCheck
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import runner_of

pytestmark = pytest.mark.anyio


SCHEMA = 'schema = { type = "object", properties = { amount = { type = "integer" } }, required = ["amount"] }'


def policy(*approvers: str, profile: str = "solo", kind: str = "action", more: str = "") -> str:
    people = ", ".join(f'"{one}"' for one in approvers)
    return f"""
        profile = "{profile}"
        [kinds.{kind}]
        assurance = "local"
        stages = [{{ approvers = [{people}] }}]
        {more}
    """


class Process:
    """A process that runs on a policy file: its desk, and the check that it makes again and again."""

    def __init__(self, file: Path, store: WatchedStore, clock: Clock) -> None:
        self.file = file
        self.write(policy("os:ana", "os:bo"))
        settings = load({"MCP_HITL_CONFIG": str(file)})
        self.desk = Desk(store, effects=EFFECTS, rulebook=settings.rulebook, clock=clock)
        self.check = PolicyCheck(self.desk, PolicySource(settings))

    def write(self, text: str) -> None:
        """Put another file in the place of the old one, as editors do."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)

    async def looks(self, times: int = 2) -> None:
        """Let it look as often as it takes until what changed is settled."""
        for _ in range(times):
            await self.check.turn()


@pytest.fixture
async def process(tmp_path: Path, store: WatchedStore, clock: Clock) -> AsyncGenerator[Process]:
    process = Process(tmp_path / "policy.toml", store, clock)
    await process.desk.check_policy(ANA)
    await process.looks()
    yield process


async def changes(desk: Desk) -> int:
    """How often a change of the policy is recorded."""
    return sum(one.entry.event is Event.POLICY_CHANGED for one in await desk.evidence.entries())


async def test_t21_a_right_that_is_withdrawn_in_the_file_no_longer_counts_in_a_process_that_runs(
    process: Process,
) -> None:
    desk = process.desk
    waiting = await desk.approvals.submit(AGENT, "action", {"n": 1})
    approved = await say(desk, said(ANA, await desk.approvals.submit(AGENT, "action", {"n": 2})))
    process.write(policy("os:bo"))
    await process.looks()
    with pytest.raises(NotAllowed):
        await say(desk, said(ANA, waiting))
    with pytest.raises(NotAllowed, match="os:ana, whose right was withdrawn"):
        await desk.approvals.redeem(AGENT, approved.id, approved.digest)
    now = await say(desk, said(BO, waiting))
    assert (await desk.approvals.redeem(AGENT, now.id, now.digest)).outcome.state is OutcomeState.RUNNING
    assert await changes(desk) == 2, "the first one, and this one"
    assert (await desk.evidence.verify()).wrong is None


async def test_t21_a_file_that_somebody_is_writing_is_left_alone_until_it_stays_the_same(process: Process) -> None:
    process.write(policy("os:bo"))
    before = process.desk.rulebook
    await process.looks(1)
    process.write(policy("os:ana", "os:bo", "os:cy"))
    await process.looks(1)
    assert process.desk.rulebook is before
    await process.looks(1)
    assert process.desk.rulebook.kinds["action"].policy.stages[0].approvers == ("os:ana", "os:bo", "os:cy")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("[kinds.action]\nassurance = 'telepathy'\n", "assurance: must be"),
        (None, "There is no policy file at"),
    ],
)
async def test_t21_nothing_is_decided_or_used_by_a_file_with_mistakes_and_all_goes_on_when_it_is_mended(
    process: Process, broken: str | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = process.desk
    waiting = await desk.approvals.submit(AGENT, "action", {"n": 1})
    approved = await say(desk, said(ANA, await desk.approvals.submit(AGENT, "action", {"n": 2})))
    text = process.file.read_text()
    if broken is None:
        process.file.unlink()
    else:
        process.write(broken)
    await process.looks()
    for attempt in (
        lambda: say(desk, said(ANA, waiting)),
        lambda: desk.approvals.redeem(AGENT, approved.id, approved.digest),
        lambda: desk.approvals.submit(AGENT, "action", {"n": 3}),
    ):
        with pytest.raises(Invalid, match=f"(?s)Nothing is decided or used until the policy is mended.*{why}"):
            await attempt()
    assert caplog.text.count("nothing is decided or used until the policy is mended") == 1, "which is told once"
    assert (await desk.approvals.get(ANA, waiting.id)).status is waiting.status, "reading goes on"
    process.write(text)
    await process.looks()
    await say(desk, said(ANA, waiting))
    assert await changes(desk) == 1, "the file is the old one"


async def test_t21_a_flow_waits_while_the_file_has_mistakes_and_does_not_fail_of_them(process: Process) -> None:
    desk, text = process.desk, process.file.read_text()
    runner = runner_of(desk)
    expense = await desk.approvals.submit(AGENT, "expense", lunch())
    process.write("[kinds.action]\nassurance = 'telepathy'\n")
    await process.looks()
    assert await runner.catch_up() == 0
    process.write(text)
    await process.looks()
    assert await runner.catch_up() == 1
    now = await desk.approvals.get(AGENT, expense.id)
    assert (now.status, now.outcome.state) == (Status.PENDING, OutcomeState.NONE)


async def test_t21_a_solo_policy_does_not_take_the_place_of_a_team_s(process: Process) -> None:
    team = policy("os:ana", "os:bo", profile="team")
    process.write(team)
    await process.looks()
    waiting = await process.desk.approvals.submit(AGENT, "action", {"n": 1})
    process.write(policy("os:ana", "os:bo"))
    await process.looks()
    with pytest.raises(Invalid, match="belongs to a team"):
        await say(process.desk, said(ANA, waiting))
    process.write(team)
    await process.looks()
    await say(process.desk, said(ANA, waiting))


async def test_t21_a_file_that_is_only_touched_is_read_once_and_changes_nothing(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    read = Path.read_bytes

    def counted(path: Path) -> bytes:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    before = process.desk.rulebook
    os.utime(process.file, (1, 1))
    await process.looks(5)
    assert process.desk.rulebook is before
    assert reads == [process.file]


async def test_t21_a_program_s_gate_goes_by_the_changed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_hitl.engine.policy_check.PolicyCheck.seconds", 0.01)
    file = tmp_path / "policy.toml"
    done: list[int] = []
    me = os_user()
    file.write_text(policy(me.id, "os:bo", kind="refund", more=SCHEMA))
    approvals = Approvals(tmp_path / "hitl.db", policy=file)

    @approvals.gate(title="Refund {amount}")
    async def refund(amount: int) -> None:
        done.append(amount)

    async with approvals.running():
        taken_over = anyio.Event()
        desk = approvals.desk

        def heard(_: object) -> None:
            taken_over.set()

        async with desk.feed.listen(ANY, heard, events=frozenset({Event.POLICY_CHANGED})):
            asked = await refund(5)
            file.write_text(policy("os:bo", kind="refund", more=SCHEMA))
            with anyio.fail_after(20):
                await taken_over.wait()
        one = await approvals.get(str(asked["id"]))
        with pytest.raises(NotAllowed):
            await approvals.approve(one, me, assurance=Assurance.LOCAL)
        await approvals.approve(one, Principal("os:bo", me.established), assurance=Assurance.LOCAL)
        settled = await approvals.outcome(one.id, seconds=20)
    assert (settled.outcome.state, done) == (OutcomeState.SUCCEEDED, [5])


def test_t21_a_program_takes_from_the_present_file_what_it_took_from_the_first_and_keeps_what_it_defined() -> None:
    def file(*approvers: str, profile: str = "solo") -> Rulebook:
        return parse(policy(*approvers, kind="refund", more=SCHEMA, profile=profile)).rulebook

    first, ours = file("os:ana"), replace(ACTION, name="ours", program="shop")
    taken = replace(first.kinds["refund"], flow="shop:refund", title="Refund {amount}", program="shop")
    own = {"refund": taken, "ours": ours}
    assert first.completed(own, first).kinds == {**first.kinds, **own}
    later = file("os:bo").completed(own, first).kinds
    assert later["refund"] == replace(taken, policy=file("os:bo").kinds["refund"].policy)
    assert later["ours"] == ours
    assert "refund" not in parse("").rulebook.completed(own, first).kinds
    team = file("os:ana", profile="team").completed(own, first).kinds
    assert "ours" not in team and team["refund"].flow == "shop:refund"
