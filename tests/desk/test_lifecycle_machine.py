"""Whatever is submitted, decided, cancelled and reopened in whatever order, the desk agrees with a small model."""

import asyncio
import os
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from databases import new_database
from desk_samples import AGENT, ANA, BO, RULEBOOK, Clock, said, say
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.opening import open_store

NOTHING: MultipleResults[str] = multiple()
WEEK, DAY = timedelta(days=7), timedelta(hours=24)
SOAK = bool(os.environ.get("SOAK"))


@dataclass
class Known:
    """What the model knows of one approval."""

    kind: str
    payload: int
    key: str | None
    expires: datetime
    status: str = "pending"
    cooldown: datetime | None = None
    asked: int = 1
    entries: int = 1
    approved_by: frozenset[str] = frozenset()

    def seen(self, now: datetime) -> str:
        return "expired" if self.status == "pending" and now >= self.expires else self.status


class DeskMachine(RuleBasedStateMachine):
    """Two kinds (one approval needed, two needed), three payloads, two people."""

    opened: Bundle[str] = Bundle("opened")

    sort = "sqlite"

    def __init__(self) -> None:
        """Open a fresh database."""
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(TemporaryDirectory()))
        self.database = self.stack.enter_context(new_database(self.sort, folder))
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.known: dict[str, Known] = {}
        self.shown: dict[str, Approval] = {}
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.store = open_store(self.database)
        self.desk = Desk(self.store, effects=EFFECTS, rulebook=RULEBOOK, clock=self.clock)

    def teardown(self) -> None:
        """Close the database and remove it."""
        self.runner.run(self.store.close())
        self.runner.close()
        self.stack.close()

    def _belongs_to(self, kind: str, payload: int, key: str | None) -> str | None:
        """The id that this request joins, by the rules of the interface ("Asking twice")."""
        equal = [(id_, one) for id_, one in self.known.items() if (one.kind, one.payload) == (kind, payload)]
        if key is not None:
            keyed = [id_ for id_, one in self.known.items() if (one.kind, one.key) == (kind, key)]
            if keyed:
                return keyed[0] if self.known[keyed[0]].payload == payload else "conflict"
        else:
            pending = [id_ for id_, one in equal if one.key is None and one.seen(self.clock()) == "pending"]
            if pending:
                return max(pending)
        rejected = max((id_ for id_, one in equal if one.status == "rejected"), default=None)
        if rejected is not None:
            until = self.known[rejected].cooldown
            return rejected if until is not None and self.clock() < until else None
        return None

    @rule(
        target=opened,
        kind=st.sampled_from(["action", "pair"]),
        payload=st.integers(0, 2),
        key=st.sampled_from([None, None, "k1", "k2"]),
    )
    def submit(self, kind: str, payload: int, key: str | None) -> str | MultipleResults[str]:
        self.clock.advance(timedelta(milliseconds=1))
        expected = self._belongs_to(kind, payload, key)
        try:
            got = self.runner.run(self.desk.approvals.submit(AGENT, kind, {"n": payload}, dedup_key=key))
        except HitlError as error:
            assert (error.code, expected) == ("conflict", "conflict")
            return NOTHING
        if expected is None:
            assert got.id not in self.known
            self.known[got.id] = Known(kind, payload, key, self.clock() + WEEK)
            self.shown[got.id] = got
            return got.id
        assert got.id == expected
        self.known[expected].asked += 1
        self.known[expected].entries += 1
        return NOTHING

    @rule(id_=opened, who=st.sampled_from([ANA, BO]), verdict=st.sampled_from(Verdict), stale=st.booleans())
    def decide(self, id_: str, who: Principal, verdict: Verdict, stale: bool) -> None:
        one = self.known[id_]
        if one.seen(self.clock()) != "pending":
            expected = "already_resolved"
        elif stale or who.id in one.approved_by:
            expected = "conflict"
        else:
            expected = "decided"
        words = said(who, self.shown[id_], verdict, **({"revision": 2} if stale else {}))
        try:
            got = self.runner.run(say(self.desk, words))
        except HitlError as error:
            assert error.code == expected
            return
        assert expected == "decided"
        one.entries += 1
        if verdict is Verdict.REJECT:
            one.status, one.cooldown = "rejected", self.clock() + DAY
        else:
            one.approved_by |= {who.id}
            if len(one.approved_by) == (2 if one.kind == "pair" else 1):
                one.status = "approved"
        one.entries += one.status != "pending"
        assert got.status.value == one.status

    @rule(id_=opened, who=st.sampled_from([AGENT, BO]))
    def cancel(self, id_: str, who: Principal) -> None:
        one = self.known[id_]
        expected = "already_resolved" if one.seen(self.clock()) != "pending" else "cancelled"
        expected = expected if who is AGENT else "not_allowed"
        try:
            got = self.runner.run(self.desk.approvals.cancel(who, id_))
        except HitlError as error:
            assert error.code == expected
            return
        assert got.status.value == expected == "cancelled"
        one.status = "cancelled"
        one.entries += 1

    @rule(id_=consumes(opened))
    def lift_cooldown(self, id_: str) -> None:
        one = self.known[id_]
        expected = "lifted" if one.cooldown is not None and self.clock() < one.cooldown else "conflict"
        try:
            self.runner.run(self.desk.decisions.lift_cooldown(ANA, id_, assurance=Assurance.LOCAL))
        except HitlError as error:
            assert error.code == expected
            return
        assert expected == "lifted"
        one.cooldown = None
        one.entries += 1

    @rule(span=st.sampled_from([timedelta(minutes=1), DAY, WEEK - timedelta(milliseconds=1), WEEK]))
    def time_passes(self, span: timedelta) -> None:
        self.clock.advance(span)

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.runner.run(self._open())

    @invariant()
    def the_desk_agrees(self) -> None:
        now = self.clock()
        for id_, one in self.known.items():
            got = self.runner.run(self.desk.approvals.get(AGENT, id_))
            assert (got.seen_at(now).value, got.asked, got.cooldown_until) == (
                one.seen(now),
                one.asked,
                one.cooldown,
            )
            assert len(self.runner.run(self.desk.approvals.trail(AGENT, id_)).entries) == one.entries
        page = self.runner.run(self.desk.search.pending(ANA, limit=100))
        open_ids = sorted(id_ for id_, one in self.known.items() if one.seen(now) == "pending")
        assert [approval.id for approval in page.approvals] == open_ids
        assert page.total == len(open_ids)


TestDeskMachine = DeskMachine.TestCase
TestDeskMachine.settings = settings(max_examples=100 if SOAK else 12, stateful_step_count=25)


class DeskMachineOnPostgres(DeskMachine):
    sort = "postgres"


TestDeskMachineOnPostgres = DeskMachineOnPostgres.TestCase
TestDeskMachineOnPostgres.settings = settings(max_examples=30 if SOAK else 3, stateful_step_count=25)
