"""The lists: what is pending, and what was."""

from datetime import datetime, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.evidence.chain import Recorded
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.web.descriptions import Row, row
from mcp_hitl.web.door import who
from mcp_hitl.web.rendering import page

ON_A_PAGE = 50
_ON_ITS_WAY = timedelta(minutes=1)
"""A request is as old as its id says, and may be committed that much later: after the list was read."""
_NEWS = timedelta(days=7)
"""How long a change of the policy is told above the list."""
_PERIODS = (7, 30, 90, 365)
"""Days back that the numbers can be of."""


class Lists:
    """The routes of the lists."""

    def __init__(self, desk: Desk) -> None:
        """Over `desk`."""
        self._desk = desk

    async def pending(self, request: Request) -> Response:
        """`GET /`: what waits for a person, oldest first."""
        desk, principal = self._desk, who(request)
        seq = await desk.search.seq()  # before the list is read: what changes in between is told to the page
        wanted = _wanted(request, "kind", "requester", "text")
        found = await desk.search.pending(principal, limit=ON_A_PAGE, cursor=_cursor(request), **wanted)
        now = desk.clock()
        return page(
            request,
            "pending.html",
            seq=seq,
            now=now,
            rows=[self._row(approval, now) for approval in found.approvals],
            total=found.total,
            unreadable=found.unreadable,
            capped=found.total_capped,
            wanted=wanted,
            first=_cursor(request) is None,
            start=_link("/", wanted),
            older=found.next_cursor and _link("/", wanted, found.next_cursor),
            behind=max(_cursor(request) or "", approval_id(now - _ON_ITS_WAY, 0)),
            kinds=_with(await desk.search.pending_kinds(), wanted["kind"]),
            requesters=_with(await desk.search.requesters(), wanted["requester"]),
            stops=await desk.stops.paused(),
            older_copy=await desk.copies.older() is not None,
            policy=await self._new_policy(now),
        )

    async def _new_policy(self, now: datetime) -> Recorded | None:
        """Return the last change of the policy file while it is news."""
        changed = await self._desk.read(lambda view: view.log.latest(Event.POLICY_CHANGED.value))
        return (
            changed
            if changed is not None and changed.entry.data.get("was") and now - changed.entry.at < _NEWS
            else None
        )

    async def history(self, request: Request) -> Response:
        """`GET /history`: what was decided, and what nobody decided in time; newest first."""
        desk, principal = self._desk, who(request)
        wanted = _wanted(request, "kind", "requester", "approver", "text")
        status = request.query_params.get("status") or None
        if status is not None and status not in set(Status) - {Status.PENDING}:
            raise Invalid("status must be approved, rejected, expired or cancelled.")
        found = await desk.search.history(
            principal,
            status=None if status is None else Status(status),
            limit=ON_A_PAGE,
            cursor=_cursor(request),
            **wanted,
        )
        now = desk.clock()
        asked = wanted | {"status": status}
        return page(
            request,
            "history.html",
            now=now,
            rows=[self._row(approval, now) for approval in found.approvals],
            unreadable=found.unreadable,
            wanted=asked,
            first=_cursor(request) is None,
            start=_link("/history", asked),
            older=found.next_cursor and _link("/history", asked, found.next_cursor),
            looked_back_to=found.looked_back_to,
            kinds=_with(sorted(desk.rulebook.kinds), wanted["kind"]),
            statuses=[str(one) for one in Status if one is not Status.PENDING],
        )

    def _row(self, approval: Seen, now: datetime) -> Row:
        return row(approval, self._desk.rulebook.kind_of(approval.kind, approval.definition), now)

    async def numbers(self, request: Request) -> Response:
        """`GET /numbers`: how long decisions take and how they end, by kind and by person."""
        days = request.query_params.get("days", str(_PERIODS[1]))
        if days not in map(str, _PERIODS):
            raise Invalid(f"days must be one of {', '.join(map(str, _PERIODS))}.")
        found = await self._desk.search.numbers(days=int(days))
        return page(request, "numbers.html", numbers=found, days=int(days), periods=_PERIODS)


def _wanted(request: Request, *names: str) -> dict[str, str | None]:
    return {name: request.query_params.get(name, "").strip() or None for name in names}


def _cursor(request: Request) -> str | None:
    return request.query_params.get("cursor") or None


def _link(path: str, wanted: dict[str, str | None], cursor: str | None = None) -> str:
    query = urlencode({name: value for name, value in (wanted | {"cursor": cursor}).items() if value})
    return f"{path}?{query}" if query else path


def _with(names: list[str], chosen: str | None) -> list[str]:
    """The choices, with the chosen one among them even where nothing has it any more."""
    return names if chosen is None or chosen in names else [chosen, *names]
