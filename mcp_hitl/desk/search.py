"""Searches: lists of pending and resolved approvals, their people and kinds, statistics, and what changed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from mcp_hitl.desk.context import Context
from mcp_hitl.desk.transactions.log_entries import instant
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.search import Sifted, Sought, words_of
from mcp_hitl.domain.approvals.seen import Seen, hides
from mcp_hitl.domain.evidence.chain import NOWHERE
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import check_text
from mcp_hitl.domain.values.errors import Invalid, Unreadable
from mcp_hitl.domain.values.ids import is_approval_id
from mcp_hitl.store.lists import Listed, id_of
from mcp_hitl.store.view import View

if TYPE_CHECKING:
    from mcp_hitl.domain.approvals.statistics import Numbers

MOST_COUNTED = 1_000
_STOPPING = frozenset({Event.PAUSED, Event.RESUMED, Event.RESTORED, Event.RESTORE_CONFIRMED})
MOST_SEARCHED = 10_000
"""The most approvals that one search checks; the next page continues from there."""
MOST_NAMED = 100
MOST_NUMBERED = 100_000
MOST_DAYS = 3_660
_LOOKED_AHEAD = 5
_Shown = tuple[list[Seen], tuple[Unreadable, ...]]


@dataclass(frozen=True, slots=True)
class Past:
    """Some resolved approvals, newest request first, and the cursor of the next page.

    `looked_back_to` is set if the search stopped before the page was full: it has not checked older requests.
    A short or empty page with a `next_cursor` continues there.
    """

    approvals: list[Seen]
    next_cursor: str | None
    looked_back_to: datetime | None
    unreadable: tuple[Unreadable, ...] = ()
    """What is stored in these places cannot be read; the others are shown all the same."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some pending approvals, the cursor of the next page, and the total (counted up to `MOST_COUNTED`)."""

    approvals: list[Seen]
    next_cursor: str | None
    total: int
    counted_all: bool = True
    """False if a search stopped before it had checked all pending approvals; `total` counts only those it checked."""
    unreadable: tuple[Unreadable, ...] = ()
    """As in `Past`."""

    @property
    def total_capped(self) -> bool:
        """True if counting stopped, so that there may be more than `total`."""
        return self.total >= MOST_COUNTED or not self.counted_all


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """The changes since a place in the feed: the newest place, each changed approval, and other changes."""

    seq: int
    approvals: list[Seen]
    stops: bool
    """True if something was paused or resumed."""
    signed_out: bool
    unreadable: bool = False
    """True if something that changed cannot be read."""


class Search:
    """The part of the desk that searches approvals and counts them; it changes nothing."""

    def __init__(self, at: Context) -> None:
        """Work where `at` says."""
        self._at = at

    async def pending(
        self,
        principal: Principal,
        *,
        kind: str | None = None,
        requester: str | None = None,
        text: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page:
        """Return the oldest pending approvals after `cursor`, of a kind, of a requester, that contain all words.

        With `requester` or `text`, one page checks at most `MOST_SEARCHED`: it may be short or even empty, and still
        have a `next_cursor`. Its `total` then counts the oldest `MOST_SEARCHED`; see `Page.counted_all`.

        Raises:
            Invalid: the cursor is not one of ours, or the text cannot be searched for.
        """
        _check_cursor(cursor, "list-pending")
        if requester is None and not words_of(text):
            return await self._at.store.read(partial(self._page, principal, kind=kind, limit=limit, cursor=cursor))
        sought = _sought(self._at.rulebook, kind=kind, requester=requester, text=text)
        return await self._at.store.survey(partial(self._search, principal, sought=sought, limit=limit, cursor=cursor))

    async def next_pending(self, after: str | None) -> str | None:
        """Return the id of the pending approval after `after`, or else of the first one that is not `after` itself."""
        _check_cursor(after, "list-pending")

        def look(view: View) -> str | None:
            now = instant(view, self._at.clock())
            behind = view.lists.pending(now, kind=None, after=after, limit=_LOOKED_AHEAD)
            first = view.lists.pending(now, kind=None, after=None, limit=_LOOKED_AHEAD)
            readable = (one.id for one in (*behind, *first) if not isinstance(one, Unreadable))
            return next((one for one in readable if one != after), None)

        return await self._at.store.read(look)

    async def requesters(self) -> list[str]:
        """Return the requesters of pending approvals, sorted; at most `MOST_NAMED`."""
        return await self._at.store.read(
            lambda view: view.lists.pending_requesters(instant(view, self._at.clock()), limit=MOST_NAMED)
        )

    async def pending_kinds(self) -> list[str]:
        """Return the kinds of pending approvals, sorted; at most `MOST_NAMED`."""
        return await self._at.store.read(
            lambda view: view.lists.pending_kinds(instant(view, self._at.clock()), limit=MOST_NAMED)
        )

    async def history(
        self,
        principal: Principal,
        *,
        status: Status | None = None,
        kind: str | None = None,
        requester: str | None = None,
        approver: str | None = None,
        text: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Past:
        """Return approvals that have left `pending` or are overdue, before `cursor`; the newest request first.

        `approver` is a person who decided on it, with any verdict, whether or not this settled it. One page checks at
        most `MOST_SEARCHED` approvals; see `Past`.

        Raises:
            Invalid: the cursor is not one of ours, the text cannot be searched for, or the status is `pending`.
        """
        _check_cursor(cursor, "the history")
        if status is Status.PENDING:
            raise Invalid("The history has only resolved approvals: approved, rejected, expired or cancelled.")
        sought = _sought(self._at.rulebook, status=status, kind=kind, requester=requester, approver=approver, text=text)
        if approver is not None:
            sought = replace(sought, approver=self._at.rulebook.people.person(approver))

        def look(view: View) -> Past:
            now = instant(view, self._at.clock())
            found = view.lists.sift_past(now, sought, before=cursor, limit=limit + 1, most=MOST_SEARCHED)
            full = len(found.ids) > limit
            stopped = None if full or found.stopped_at is None else _get(view, found.stopped_at)
            page, unreadable = self._load(principal, view, found.ids[:limit], now)
            looked_back_to = None if stopped is None or isinstance(stopped, Unreadable) else stopped.requested_at
            return Past(page, _behind(found, limit), looked_back_to, unreadable)

        return await (self._at.store.read if sought == Sought() else self._at.store.survey)(look)

    async def numbers(self, *, days: int = 30) -> "Numbers":
        """Return statistics about approvals resolved within the last `days`, by kind and by person.

        At most the newest `MOST_NUMBERED` are counted; see `Numbers.complete`.

        Raises:
            Invalid: `days` is not 1 to `MOST_DAYS`.
        """
        if not 1 <= days <= MOST_DAYS:
            raise Invalid(f"days must be 1 to {MOST_DAYS:,}.")
        clock, people = self._at.clock(), self._at.rulebook.people
        return await self._at.store.survey(
            lambda view: _numbers(view, instant(view, clock), timedelta(days=days), people)
        )

    async def news(self, principal: Principal, after: int, most: int) -> News | None:
        """Return the changes after that place, in their present state; None if there are more than `most` entries."""
        clock = self._at.clock()

        def look(view: View) -> News | None:
            entries = view.log.news(after, most + 1)
            if len(entries) > most:
                return None
            now = instant(view, clock)
            ids = dict.fromkeys(approval_id for _, approval_id, _ in entries if approval_id != NOWHERE)
            held = view.lists.those([*ids])
            changed = [held.get(one) for one in ids]
            others = [event for _, approval_id, event in entries if approval_id == NOWHERE]
            return News(
                seq=entries[-1][0] if entries else after,
                approvals=[self._at.see(principal, one, now) for one in changed if isinstance(one, Approval)],
                stops=not _STOPPING.isdisjoint(others),
                signed_out=Event.SIGNED_OUT in others,
                unreadable=not all(isinstance(one, Approval) for one in changed),
            )

        return await self._at.store.read(look)

    async def seq(self) -> int:
        """Return the place of the newest change in the feed."""
        return await self._at.store.read(lambda view: view.log.last_seq())

    def _page(self, principal: Principal, view: View, *, kind: str | None, limit: int, cursor: str | None) -> Page:
        now = instant(view, self._at.clock())
        found = view.lists.pending(now, kind=kind, after=cursor, limit=limit + 1)
        page, unreadable = self._seen(principal, found[:limit], now)
        total = view.lists.count_pending(now, kind=kind, most=MOST_COUNTED)
        cursors = [one for one in map(id_of, found[:limit]) if is_approval_id(one)]
        return Page(page, cursors[-1] if len(found) > limit and cursors else None, total, unreadable=unreadable)

    def _search(self, principal: Principal, view: View, *, sought: Sought, limit: int, cursor: str | None) -> Page:
        now = instant(view, self._at.clock())
        counted = view.lists.sift_pending(now, sought, after=None, limit=MOST_COUNTED, most=MOST_SEARCHED)
        found = counted
        if cursor is not None:
            found = view.lists.sift_pending(now, sought, after=cursor, limit=limit + 1, most=MOST_SEARCHED)
        page, unreadable = self._load(principal, view, found.ids[:limit], now)
        return Page(page, _behind(found, limit), len(counted.ids), counted.stopped_at is None, unreadable)

    def _load(self, principal: Principal, view: View, ids: list[str], now: datetime) -> _Shown:
        found = view.lists.those(ids)
        return self._seen(principal, [found[one] for one in ids if one in found], now)

    def _seen(self, principal: Principal, found: Sequence[Listed], now: datetime) -> _Shown:
        """Return what the principal sees of a list, and why some of it cannot be read."""
        readable = [self._at.see(principal, one, now) for one in found if not isinstance(one, Unreadable)]
        return readable, tuple(one for one in found if isinstance(one, Unreadable))


def _get(view: View, approval_id: str) -> Listed | None:
    try:
        return view.approvals.get(approval_id)
    except Unreadable as error:
        return error


def _numbers(view: View, now: datetime, span: timedelta, people: People) -> "Numbers":
    # Imported late: nobody who only looks at approvals needs it.
    from mcp_hitl.domain.approvals.statistics import Numbers, by_kind, by_person

    since = now - span
    listed = view.lists.ended(since, now, MOST_NUMBERED + 1)
    ended = [one for one in listed if not isinstance(one, Unreadable)]
    complete = len(listed) <= MOST_NUMBERED
    if not complete and ended:
        since = ended[-1].ended_at
        ended = [one for one in ended if one.ended_at > since]
    decisions = view.lists.given(since, now)
    given = [replace(one, approver=people.person(one.approver)) for one in decisions if not isinstance(one, Unreadable)]
    return Numbers(
        since=since,
        until=now,
        complete=complete,
        kinds=by_kind(ended, given),
        people=by_person(given),
        unreadable=sum(isinstance(one, Unreadable) for one in (*listed, *decisions)),
    )


def _sought(rulebook: Rulebook, *, text: str | None, status: Status | None = None, **names: str | None) -> Sought:
    for what, name in names.items():
        if name is not None:
            check_text(name, what)
    words = words_of(text)
    return Sought(status=status, words=words, open_kinds=_open_kinds(rulebook) if words else None, **names)


def _open_kinds(rulebook: Rulebook) -> frozenset[str]:
    """Return the kinds without secret fields, so that a search cannot find out a secret (THREATS T36)."""
    return frozenset(name for name, kind in rulebook.kinds.items() if not hides(kind))


def _check_cursor(cursor: str | None, where: str) -> None:
    if cursor is not None and not is_approval_id(cursor):
        raise Invalid(f"cursor must be a next_cursor that {where} returned. Leave it out for the first page.")


def _behind(found: Sifted, limit: int) -> str | None:
    """Return the cursor of the next page, or None if there is none."""
    return found.ids[limit - 1] if len(found.ids) > limit else found.stopped_at
