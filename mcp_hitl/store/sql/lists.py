"""The statements for lists, searches and statistics. Each reads a limited number of rows."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.quorum import POLICY_STAGE
from mcp_hitl.domain.approvals.search import Sifted, Sought
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.errors import Unreadable
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.store.lists import Listed, ListReads, id_of
from mcp_hitl.store.sql import loading
from mcp_hitl.store.sql.database import Database, places
from mcp_hitl.store.unreadable import reading

if TYPE_CHECKING:
    from mcp_hitl.domain.approvals.statistics import Ended, Given

CHUNK = 200
"""The number of rows that are checked together."""
MOST_CHARACTERS = 2_000_000
"""The most characters that one read searches: a few large payloads cost as much as thousands of small ones."""

_NEWEST = f"AND id < :edge ORDER BY id DESC LIMIT {CHUNK}"
_PAST = (
    f"SELECT id FROM approvals WHERE status <> 'pending' {_NEWEST}",
    f"SELECT id FROM approvals WHERE status = 'pending' AND expires_at <= :now {_NEWEST}",
)
"""Not one statement, whose limit PostgreSQL would not apply to its parts: it would read and sort all that there is."""
_LAST = "~"
"""Sorts after every id."""

_ENDED_COLUMNS = "id, kind, revision, rule, requested_at"
_ENDED = f"""
SELECT {_ENDED_COLUMNS}, status, resolved_at AS ended_at FROM approvals
WHERE resolved_at > :since AND resolved_at IS NOT NULL AND erased_at IS NULL
UNION ALL
SELECT {_ENDED_COLUMNS}, status, resolved_at AS ended_at FROM approvals
WHERE resolved_at > :since AND erased_at IS NOT NULL
UNION ALL
SELECT {_ENDED_COLUMNS}, 'expired' AS status, expires_at AS ended_at FROM approvals
WHERE status = 'pending' AND next_at <= :now AND expires_at > :since AND expires_at <= :now
"""
"""Ended approvals, with one index each: kept, erased, and overdue (these are also due by `next_at`)."""
_LATEST = f"""
SELECT kind, status, ended_at - requested_at, ended_at, rule IS NOT NULL AND (
    SELECT max(stage) FROM decisions WHERE approval = ended.id AND revision = ended.revision AND stage = {POLICY_STAGE}
) IS NOT NULL FROM ({_ENDED} ORDER BY ended_at DESC LIMIT :limit) AS ended
"""
"""Not EXISTS: PostgreSQL may read all decisions to answer it."""
_GIVEN = f"""
SELECT kind, approver, verdict, at - requested_at, looked FROM ({_ENDED}) AS ended
CROSS JOIN decisions WHERE approval = ended.id AND stage <> {POLICY_STAGE}
"""
"""CROSS JOIN makes SQLite keep this order. If it began with the decisions, it would read all of them."""

_DISTINCT = """
WITH RECURSIVE found (name) AS (
    SELECT min({column}) FROM approvals INDEXED BY {index} WHERE status = 'pending'
    UNION ALL
    SELECT (SELECT min({column}) FROM approvals INDEXED BY {index} WHERE status = 'pending' AND {column} > name)
    FROM found WHERE name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL AND EXISTS (
    SELECT 1 FROM approvals INDEXED BY {index} WHERE status = 'pending' AND {column} = name AND expires_at > ?
) LIMIT ?
"""
"""Returns each value once. It uses the index to go from value to value, however many rows have each."""


class SqlLists(ListReads):
    """`ListReads` in statements that every database understands."""

    def __init__(self, db: Database) -> None:
        """Use `db`."""
        self._db = db

    def pending(self, now: datetime, *, kind: str | None, after: str | None, limit: int) -> list[Listed]:
        where, values = _open(now, kind)
        return loading.every_one(self._db, f"{where} AND id > ? ORDER BY id LIMIT ?", (*values, after or "", limit))

    def count_pending(self, now: datetime, *, kind: str | None, most: int) -> int:
        where, values = _open(now, kind)
        # Named, or SQLite takes an index in which what is decided stands too.
        index = "approvals_pending" if kind is None else "approvals_pending_kind"
        return loading.number(
            self._db,
            f"SELECT count(*) FROM (SELECT 1 FROM approvals INDEXED BY {index} {where} LIMIT ?) AS open",
            (*values, most),
        )

    def those(self, ids: Sequence[str]) -> dict[str, Listed]:
        found = loading.every_one(self._db, f"WHERE id IN ({places(ids)})", tuple(ids)) if ids else []
        return {id_of(one): one for one in found}

    def sift_pending(self, now: datetime, sought: Sought, *, after: str | None, limit: int, most: int) -> Sifted:
        kind = "" if sought.kind is None else "AND kind = :kind"
        candidates = (
            f"SELECT id FROM approvals WHERE status = 'pending' AND expires_at > :now {kind} AND id > :edge "
            f"ORDER BY id LIMIT {CHUNK}"
        )
        values = {"now": to_ms(now), "kind": sought.kind, "edge": after or ""}
        return self._sift(self._ids(candidates, values), sought, "ASC", limit, most)

    def sift_past(self, now: datetime, sought: Sought, *, before: str | None, limit: int, most: int) -> Sifted:
        values = {"now": to_ms(now), "edge": before or _LAST}
        candidates = merge(*(self._ids(part, values) for part in _PAST), reverse=True)
        return self._sift(candidates, sought, "DESC", limit, most)

    def pending_requesters(self, now: datetime, limit: int) -> list[str]:
        return self._distinct("requester", "approvals_open", now, limit)

    def pending_kinds(self, now: datetime, limit: int) -> list[str]:
        return self._distinct("kind", "approvals_pending_kind", now, limit)

    def ended(self, since: datetime, now: datetime, limit: int) -> "list[Ended | Unreadable]":
        found = self._db.execute(_LATEST, {"since": to_ms(since), "now": to_ms(now), "limit": limit})
        ended = [loading.each(_ended, row) for row in found]
        return sorted(ended, key=lambda one: now if isinstance(one, Unreadable) else one.ended_at, reverse=True)

    def given(self, since: datetime, now: datetime) -> "list[Given | Unreadable]":
        found = self._db.execute(_GIVEN, {"since": to_ms(since), "now": to_ms(now)})
        return [loading.each(_given, row) for row in found]

    def _ids(self, candidates: str, values: dict[str, Any]) -> Iterator[str]:
        """Return the ids that a statement finds behind `edge`, a chunk at a time, as they are asked for."""
        while chunk := [str(row[0]) for row in self._db.execute(candidates, values)]:
            yield from chunk
            if len(chunk) < CHUNK:
                return
            values = values | {"edge": chunk[-1]}

    def _sift(self, candidates: Iterable[str], sought: Sought, order: str, limit: int, most: int) -> Sifted:
        """Check at most `most` candidates, in their order, until enough are found."""
        left = islice(candidates, most)
        found: list[str] = []
        seen, characters = 0, 0
        last = ""
        while chunk := list(islice(left, CHUNK)):
            for one, *texts in self._fitting(chunk, sought, order):
                if sought.met_by(*texts):
                    found.append(one)
                if len(found) == limit:
                    return Sifted(found)
                characters += sum(len(text) for text in texts if text)
                if characters > MOST_CHARACTERS:
                    return Sifted(found, one)
            seen, last = seen + len(chunk), chunk[-1]
        return Sifted(found, last if seen == most else None)

    def _fitting(self, ids: list[str], sought: Sought, order: str) -> Iterable[tuple[str, ...]]:
        """Return those of `ids` that match all conditions but the words, each with the texts to search."""
        where, values = _conditions(sought)
        if not where and not sought.words:
            return [(one,) for one in ids]
        texts, kinds = "", []
        if sought.words:
            texts = ", id, title, claim, requester, payload"
            if sought.open_kinds is not None:
                texts = texts.replace("payload", f"CASE WHEN kind IN ({places(sought.open_kinds)}) THEN payload END")
                kinds = sorted(sought.open_kinds)
        return self._db.fetched(
            f"SELECT id{texts} FROM approvals WHERE id IN ({places(ids)}) {where} ORDER BY id {order}",
            (*kinds, *ids, *values),
        )

    def _distinct(self, column: str, index: str, now: datetime, limit: int) -> list[str]:
        found = self._db.execute(_DISTINCT.format(column=column, index=index), (to_ms(now), limit))
        return [row[0] for row in found]


def _open(now: datetime, kind: str | None) -> tuple[str, tuple[Any, ...]]:
    if kind is None:
        return "WHERE status = 'pending' AND expires_at > ?", (to_ms(now),)
    return "WHERE status = 'pending' AND expires_at > ? AND kind = ?", (to_ms(now), kind)


def _conditions(sought: Sought) -> tuple[str, list[str]]:
    """Return the conditions for a chunk. `|| ''` makes a database use the ids, not an index with far more rows."""
    where: list[str] = []
    values: list[str] = []
    if sought.status is Status.EXPIRED:
        where.append("AND status || '' IN ('expired', 'pending')")  # of what is pending, only the overdue is looked at
    elif sought.status is not None:
        where.append("AND status || '' = ?")
        values.append(sought.status.value)
    for column, value in (("kind", sought.kind), ("requester", sought.requester)):
        if value is not None:
            where.append(f"AND {column} || '' = ?")
            values.append(value)
    if sought.approver is not None:
        where.append("AND EXISTS (SELECT 1 FROM decisions WHERE approval = approvals.id AND approver = ?)")
        values.append(sought.approver)
    return " ".join(where), values


@reading
def _ended(row: Any) -> "Ended":
    # Imported late: nobody who only looks at approvals needs it.
    from mcp_hitl.domain.approvals.statistics import Ended

    return Ended(row[0], Status(row[1]), _span(row[2]), bool(row[4]), from_ms(row[3]))


@reading
def _given(row: Any) -> "Given":
    from mcp_hitl.domain.approvals.statistics import Given

    return Given(row[0], row[1], Verdict(row[2]), _span(row[3]), None if row[4] is None else _span(row[4]))


def _span(ms: int) -> timedelta:
    return timedelta(milliseconds=ms)
