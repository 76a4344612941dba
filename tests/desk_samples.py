"""People, kinds, a clock and a watched store for the desk's tests."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import anyio
from samples import INBOX, START

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.forms import define
from mcp_hitl.domain.policy.kinds import ACTION, BUILT_IN
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Assurance, Policy, Stage, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.present.views import Views
from mcp_hitl.process.desk_views import views_of
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

T = TypeVar("T")

AGENT = Principal("os:agent", Established.OS_USER)
ANA = Principal("os:ana", Established.OS_USER)
BO = Principal("os:bo", Established.OS_USER)
CY = Principal("os:cy", Established.OS_USER)

LUNCH: JsonObject = {"amount": 49.99, "currency": "USD", "description": "Lunch"}

FINANCE = Stage(("group:finance",), quorum=2)
KINDS = {
    **BUILT_IN,
    "pair": replace(ACTION, name="pair", policy=Policy(stages=(FINANCE,))),
    "staged": replace(ACTION, name="staged", policy=Policy(stages=(FINANCE, Stage(("group:managers",))))),
    "strict": replace(ACTION, name="strict", policy=Policy(assurance=Assurance.SESSION)),
    "unattended": replace(ACTION, name="unattended", policy=Policy(unattended=True)),
    "form": replace(
        ACTION,
        name="form",
        form=define({"properties": {"cost_center": {"type": "string"}}, "required": ["cost_center"]}),
    ),
}
PEOPLE = People(groups={"finance": frozenset({"os:ana", "os:bo"}), "managers": frozenset({"os:cy"})})
RULEBOOK = Rulebook(kinds=KINDS, people=PEOPLE)


LONG = 60.0
"""Seconds that no test waits."""


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        """Begin at `START`."""
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, span: timedelta) -> None:
        self.now += span


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What somebody says to an approval, and what they were shown of it."""

    approver: Principal
    approval_id: str
    verdict: Verdict
    revision: int
    digest: str
    assurance: Assurance = Assurance.LOCAL
    comment: str | None = None
    answer: JsonObject | None = None
    nonce: str | None = None
    looked: timedelta | None = None
    stage: int | None = None


def said(approver: Principal, approval: Approval, verdict: Verdict = Verdict.APPROVE, /, **changes: Any) -> Said:
    """What somebody at the machine says of an approval as it was shown."""
    words = Said(
        approver=approver,
        approval_id=approval.id,
        verdict=verdict,
        revision=approval.revision,
        digest=approval.digest,
    )
    return replace(words, **changes)


def views(desk: Desk) -> Views:
    """How the desk's approvals are shown."""
    return views_of(desk, inbox=INBOX)


async def say(desk: Desk, words: Said) -> Seen:
    """Say it to the desk."""
    return await desk.decisions.decide(
        words.approver,
        Shown(words.approval_id, words.revision, words.digest, words.stage, words.nonce),
        words.verdict,
        assurance=words.assurance,
        comment=words.comment,
        answer=words.answer,
        looked=words.looked,
    )


class _Watched:
    """A view, or a part of one, that notes which methods were called, such as `approvals.get`."""

    def __init__(self, view: object, called: list[str], part: str = "") -> None:
        self._view, self._called, self._part = view, called, part

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._view, name)
        if not self._part and not callable(found):
            return _Watched(found, self._called, f"{name}.")
        self._called.append(f"{self._part}{name}")
        return found


class WatchedStore:
    """A real store; counts which reads were answered, and fails a read where it is told to."""

    def __init__(self, store: Store) -> None:
        """Pass everything on to `store`."""
        self._store = store
        self.answered: Counter[str] = Counter()
        self.fail_next: Counter[str] = Counter()
        self._awaited: list[tuple[str, int, anyio.Event]] = []

    async def read(self, work: Callable[[View], T]) -> T:
        called: list[str] = []
        result = await self._store.read(lambda view: work(cast("View", _Watched(view, called))))
        for name in called:
            self.answered[name] += 1
            for awaited, count, event in self._awaited:
                if awaited == name and self.answered[name] >= count:
                    event.set()
            if self.fail_next[name]:
                self.fail_next[name] -= 1
                raise Unavailable("The disk went away.")
        return result

    async def survey(self, work: Callable[[View], T]) -> T:
        return await self._store.survey(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await self._store.write(work)

    async def scrub(self) -> bool:
        return await self._store.scrub()

    async def changed(self) -> None:
        await self._store.changed()

    def gone(self) -> str | None:
        return self._store.gone()

    def hold(self, name: str) -> bool:
        return self._store.hold(name)

    def hold_one_of(self, name: str) -> str:
        return self._store.hold_one_of(name)

    def let_go(self, name: str) -> None:
        self._store.let_go(name)

    def is_held(self, name: str) -> bool:
        return self._store.is_held(name)

    def machine(self) -> str | None:
        return self._store.machine()

    def shared_key(self) -> bytes:
        return self._store.shared_key()

    def hurry(self) -> None:
        self._store.hurry()

    async def close(self) -> None:
        await self._store.close()

    async def has_answered(self, name: str, count: int = 1) -> None:
        """Wait until the method `name` was answered `count` times since the store was opened."""
        event = anyio.Event()
        self._awaited.append((name, count, event))
        if self.answered[name] < count:
            await event.wait()


def hour(count: float = 1) -> timedelta:
    """A span of hours."""
    return timedelta(hours=count)
