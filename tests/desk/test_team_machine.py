"""Whatever a team does in whatever order, with time passing and people coming and going, the desk agrees with a model.

The model knows the rules of the policy below in its own words, and shares no code with the desk.
"""

import asyncio
import os
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from databases import new_database
from desk_samples import Clock, hour, said, say
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from team_samples import PEOPLE, a_rulebook, after, edited, person

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Policy, Stage, Verdict
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import timers_of
from mcp_hitl.store.opening import open_store

FINANCE, MANAGERS = {"ana", "bo", "eve"}, {"cy", "ana"}
POLICY = Policy(
    stages=(Stage(("group:finance",), 2, (after(1, "group:managers"),)), Stage(("group:managers",))),
    rejections=2,
    four_eyes=True,
    editor_may_approve=False,
    one_stage_each=True,
    valid_for=timedelta(hours=12),
    remind_after=(timedelta(minutes=30),),
)
TINY = Rule(name="tiny", when={"properties": {"tiny": {"const": True}}, "required": ["tiny"]}, decide=Verdict.APPROVE)
BOOK = a_rulebook(POLICY, rules=(TINY,), timeout=timedelta(days=1))
WITHOUT_BO = replace(PEOPLE, groups={**PEOPLE.groups, "finance": PEOPLE.groups["finance"] - {"bo"}})

REQUESTERS = ["agent", "agent", "ana.b"]
ACCOUNTS = ["ana", "ana.b", "bo", "bo", "eve", "eve", "cy", "cy", "zed", "agent"]
VERBS = [*["approve"] * 12, "reject", "edit", "edit", "cancel", "redeem", "redeem", "report"]
HAPPENINGS = ["bo", "bo", "stop", "timers", "timers", "timers", "reopen", "0.1", "0.6", "1", "1", "1", "5", "12"]


def who(account: str) -> str:
    return "ana" if account == "ana.b" else account


SOAK = bool(os.environ.get("SOAK"))


@dataclass
class Known:
    """What the model knows of one approval."""

    requester: str
    expires: datetime
    since: datetime
    bo_was_in: bool
    status: str = "pending"
    revision: int = 1
    stage: int = 1
    said: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])
    """On the present revision: stage, person, verdict."""
    editors: set[str] = field(default_factory=set[str])
    escalated: bool = False
    by_rule: bool = False
    ended: datetime | None = None
    outcome: str = "none"
    expiries: int = 0
    escalations: int = 0

    def seen(self, now: datetime) -> str:
        return "expired" if self.status == "pending" and now >= self.expires else self.status

    def people(self, stage: int, verdict: str) -> set[str]:
        return {name for at, name, what in self.said if (at, what) == (stage, verdict)}

    def against(self) -> set[str]:
        return {name for _, name, what in self.said if what == "reject"}


class TeamMachine(RuleBasedStateMachine):
    """One kind, two stages, a ladder, a rule; five people, one of whom has two accounts and one of whom leaves."""

    sort = "sqlite"

    def __init__(self) -> None:
        """Open a fresh database."""
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(TemporaryDirectory()))
        self.database = self.stack.enter_context(new_database(self.sort, folder))
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.people: People = PEOPLE
        self.paused = False
        self.count = self.turn = 0
        self.known: dict[str, Known] = {}
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.store = open_store(self.database)
        self.desk = Desk(self.store, effects=EFFECTS, rulebook=replace(BOOK, people=self.people), clock=self.clock)

    def teardown(self) -> None:
        """Check the evidence, close the database and remove it."""
        finding = self.runner.run(self.desk.evidence.verify())
        self._check_every_approval()
        self.runner.run(self.store.close())
        self.runner.close()
        self.stack.close()
        assert finding.wrong is None

    def _run(self, work: Any) -> tuple[str, Approval | None]:
        """What was returned, or the code of the error; a moment passes."""
        try:
            return "done", self.runner.run(work)
        except HitlError as error:
            return error.code, None

    def _shown(self, id_: str) -> Approval:
        return self.runner.run(self.desk.approvals.get(person("agent"), id_))

    @property
    def _bo_is_in(self) -> bool:
        return self.people is PEOPLE

    def _payload(self, tiny: bool) -> dict[str, object]:
        self.count += 1
        return {"n": self.count, "tiny": tiny}

    def _may(self, one: Known, name: str) -> bool:
        in_finance = name in FINANCE and (name != "bo" or (one.bo_was_in and self._bo_is_in))
        if one.stage == 1:
            return in_finance or (one.escalated and name in MANAGERS)
        return name in MANAGERS

    def _where_it_matters(self, verb: str, chance: int) -> str | None:
        """Mostly an approval of which the act may be true; else None."""
        wanted = "approved" if verb in {"redeem", "report"} else "pending"
        able = [id_ for id_, one in self.known.items() if one.seen(self.clock()) == wanted]
        return able[chance % len(able)] if able and chance % 4 else None

    def _who_can(self, id_: str, chance: int) -> str | None:
        """Mostly somebody whose word would count, so that things get somewhere; else None."""
        one = self.known[id_]
        counted = {by for _, by, _ in one.said} | one.editors | {one.requester}
        able = [name for name in ("bo", "eve", "cy", "ana") if name not in counted and self._may(one, name)]
        return able[chance % len(able)] if able and chance > 3 else None

    def _refusal(self, one: Known, name: str, stale: bool) -> str | None:
        """Why somebody can neither decide nor edit; None where they can."""
        if one.seen(self.clock()) != "pending":
            return "already_resolved"
        if self.paused:
            return "paused"
        if stale:
            return "conflict"
        return None if name != one.requester and self._may(one, name) else "not_allowed"

    @rule(seed=st.integers(0, 2**32), count=st.integers(1, 12))
    def people_act(self, seed: int, count: int) -> None:
        # Evenly distributed, which Hypothesis's own draws are not: acts that matter are rare enough.
        self.turn += 1
        dice = Random(f"{seed} {self.turn}")
        for _ in range(count):
            verb, somebody, chance = dice.choice(VERBS), dice.choice(ACCOUNTS), dice.randrange(12)
            if dice.random() < 0.2:
                self._happen("stop" if self.paused else dice.choice(HAPPENINGS))
            if dice.random() < 0.1 or self._where_it_matters("approve", 1) is None:
                self.submit(dice.choice(REQUESTERS), dice.random() < 0.2)
            id_ = self._where_it_matters(verb, chance) or dice.choice(list(self.known))
            account = self._who_can(id_, dice.randrange(12)) or somebody
            match verb:
                case "approve" | "reject":
                    self.decide(id_, account, verb, chance)
                case "edit":
                    self.edit(id_, account, chance == 1, chance)
                case "cancel":
                    self.cancel(id_, account)
                case "redeem":
                    self.redeem(id_, self.known[id_].requester if chance else account, chance)
                case _:
                    self.report(id_, self.known[id_].requester if chance else account, chance > 3)

    @rule(seed=st.integers(0, 2**32), count=st.integers(1, 4))
    def something_happens(self, seed: int, count: int) -> None:
        self.turn += 1
        for what in Random(f"{seed} {self.turn}").choices(HAPPENINGS, k=count):
            self._happen(what)

    def _happen(self, what: str) -> None:
        match what:
            case "bo":
                self.bo_leaves_or_comes_back()
            case "stop":
                self.the_stop_is_pulled_or_released()
            case "timers":
                self.timers_run()
            case "reopen":
                self.reopen()
            case _:
                self.clock.advance(hour(float(what)))

    def submit(self, requester: str, tiny: bool) -> str:
        self.clock.advance(timedelta(milliseconds=1))
        now = self.clock()
        got = self.runner.run(self.desk.approvals.submit(person(requester), "thing", self._payload(tiny)))
        one = Known(who(requester), now + timedelta(days=1), now, self._bo_is_in)
        if tiny and not self.paused:
            one.status, one.by_rule, one.ended = "approved", True, now
        assert got.id not in self.known
        self.known[got.id] = one
        return got.id

    def decide(self, id_: str, account: str, verdict: str, stale: int) -> None:
        one, name = self.known[id_], who(account)
        expected = self._refusal(one, name, stale == 0)
        if expected is None:
            if any((at, by) == (one.stage, name) for at, by, _ in one.said):
                expected = "conflict"
            elif verdict == "approve" and (name in one.editors or any(by == name for _, by, _ in one.said)):
                expected = "not_allowed"
            elif verdict == "approve" and "bo" in one.people(1, "approve") and not self._bo_is_in:
                expected = "not_allowed"
        words = said(person(account), self._shown(id_), Verdict(verdict))
        got, _ = self._run(say(self.desk, replace(words, revision=one.revision + 1) if stale == 0 else words))
        assert got == (expected or "done")
        if expected is not None:
            return
        one.said.append((one.stage, name, verdict))
        if len(one.against()) == 2:
            one.status, one.ended = "rejected", self.clock()
        elif one.stage == 1 and len(one.people(1, "approve")) == 2:
            one.stage, one.since, one.escalated = 2, self.clock(), False
        elif one.stage == 2 and one.people(2, "approve"):
            one.status, one.ended = "approved", self.clock()

    def edit(self, id_: str, account: str, tiny: bool, stale: int) -> None:
        one, name = self.known[id_], who(account)
        expected = self._refusal(one, name, stale == 0)
        shown = self._shown(id_)
        shown = replace(shown, revision=shown.revision + 1) if stale == 0 else shown
        got, _ = self._run(edited(self.desk, person(account), shown, self._payload(tiny)))
        assert got == (expected or "done")
        if expected is not None:
            return
        one.revision, one.stage, one.said = one.revision + 1, 1, []
        one.since, one.escalated, one.bo_was_in = self.clock(), False, self._bo_is_in
        one.editors.add(name)
        if tiny:
            one.status, one.by_rule, one.ended = "approved", True, self.clock()

    def cancel(self, id_: str, account: str) -> None:
        one = self.known[id_]
        expected = "already_resolved" if one.seen(self.clock()) != "pending" else "done"
        expected = expected if who(account) == one.requester else "not_allowed"
        assert self._run(self.desk.approvals.cancel(person(account), id_))[0] == expected
        if expected == "done":
            one.status, one.ended = "cancelled", self.clock()

    def redeem(self, id_: str, account: str, other: int) -> None:
        one, shown = self.known[id_], self._shown(id_)
        if who(account) != one.requester or one.status != "approved":
            expected = "not_allowed"
        elif self.paused:
            expected = "paused"
        elif one.ended is None or self.clock() >= one.ended + timedelta(hours=12):
            expected = "not_allowed"
        elif "bo" in one.people(1, "approve") and not self._bo_is_in:
            expected = "not_allowed"
        else:
            expected = "conflict" if other == 0 or one.outcome != "none" else "done"
        digest = "sha256:0" if other == 0 else shown.digest
        assert self._run(self.desk.approvals.redeem(person(account), id_, digest))[0] == expected
        if expected == "done":
            one.outcome = "running"

    def report(self, id_: str, account: str, succeeded: bool) -> None:
        one, told = self.known[id_], "succeeded" if succeeded else "failed"
        if who(account) != one.requester:
            expected = "not_allowed"
        else:
            expected = "done" if one.outcome in {"running", told} else "conflict"
        assert self._run(self.desk.approvals.report(person(account), id_, succeeded))[0] == expected
        if expected == "done":
            one.outcome = told

    def timers_run(self) -> None:
        now = self.clock()
        for one in self.known.values():
            if one.status != "pending":
                continue
            climbs = one.since + hour(1)
            if one.stage == 1 and not one.escalated and climbs <= now and climbs < one.expires:
                one.escalated = True
                one.escalations += 1
            if now >= one.expires:
                one.status, one.ended = "expired", now
                one.expiries += 1
        self.runner.run(timers_of(self.desk).catch_up())

    def the_stop_is_pulled_or_released(self) -> None:
        act = self.desk.stops.resume if self.paused else self.desk.stops.pause
        assert self.runner.run(act(person("cy")))
        self.paused = not self.paused

    def bo_leaves_or_comes_back(self) -> None:
        self.people = WITHOUT_BO if self._bo_is_in else PEOPLE
        self.desk.rulebook = replace(BOOK, people=self.people)

    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.runner.run(self._open())

    @invariant()
    def the_desk_agrees(self) -> None:
        now = self.clock()
        for id_, one in self.known.items():
            got = self._shown(id_)
            assert (got.status.value, got.revision, got.outcome.state.value) == (
                one.seen(now),
                one.revision,
                one.outcome,
            )
            assert [(d.stage, d.approver, d.verdict.value) for d in got.decisions_in_force if d.stage] == one.said
            if one.status == "pending":
                assert bool(got.escalated) == one.escalated
        page = self.runner.run(self.desk.search.pending(person("ana"), limit=100))
        waiting = sorted(id_ for id_, one in self.known.items() if one.seen(now) == "pending")
        assert [approval.id for approval in page.approvals] == waiting

    def _check_every_approval(self) -> None:
        """By the log alone: nothing ended twice, and nothing was approved by fewer people than the policy asks for."""
        for id_, one in self.known.items():
            entries = [
                recorded.entry for recorded in self.runner.run(self.desk.approvals.trail(person("ana"), id_)).entries
            ]
            events = [entry.event.value for entry in entries]
            ends = [event for event in events if event in {"approved", "rejected", "expired", "cancelled"}]
            assert ends == [one.status] * (one.status != "pending")
            assert (events.count("expired"), events.count("escalated")) == (one.expiries, one.escalations)
            assert events.count("started") == (one.outcome != "none")
            decided = [entry for entry in entries if entry.event.value == "decided" and entry.revision == one.revision]
            yes = {
                stage: {one.actor for one in decided if (one.data["stage"], one.data["verdict"]) == (stage, "approve")}
                for stage in (1, 2)  # who approved the first stage may still reject the second
            }
            if one.status == "approved" and not one.by_rule:
                assert len(yes[1]) >= 2 and yes[2] and not yes[1] & yes[2]
                assert yes[1] <= FINANCE | MANAGERS and yes[2] <= MANAGERS
                assert one.requester not in yes[1] | yes[2]


TestTeamMachine = TeamMachine.TestCase
TestTeamMachine.settings = settings(max_examples=100 if SOAK else 12, stateful_step_count=25)


class TeamMachineOnPostgres(TeamMachine):
    sort = "postgres"


TestTeamMachineOnPostgres = TeamMachineOnPostgres.TestCase
TestTeamMachineOnPostgres.settings = settings(max_examples=30 if SOAK else 3, stateful_step_count=25)
