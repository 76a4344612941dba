"""The statements on the audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mcp_hitl.domain.evidence.chain import NOWHERE, Entry, Recorded, genesis, hash_of
from mcp_hitl.domain.values.canonical import canonical
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.store import rows
from mcp_hitl.store.facts import FactReads
from mcp_hitl.store.log import LogChanges
from mcp_hitl.store.sql.database import Database, Rows, in_rows, places

_LAST = 2**63 - 1
"""No entry has a greater number."""
NEWEST = "SELECT seq, hash, at FROM audit ORDER BY seq DESC LIMIT 1"
_Head = tuple[int, str]
_WIDTH = len(rows.ENTRY.split(", "))
_MOST_IN_ONE = 16
"""So many entries are written with one statement: few enough that databases keep each of those statements prepared."""


class SqlLog(LogChanges):
    """`LogChanges` in statements that every database understands."""

    def __init__(self, db: Database, facts: FactReads) -> None:
        """Use `db`. `kept` is the head that was kept beside the file before the transaction began."""
        self._db = db
        self.kept: tuple[int, str] | None = None
        self.is_mixed = False
        """True if an older copy was written over the file, and its log was not."""
        self._facts = facts
        self._head: tuple[int, str] | None = None
        self._newest: datetime | None = None
        self.appended: tuple[int, str] | None = None
        """The newest entry that this transaction has appended, if it is known to count."""
        self._contained: tuple[int, str] | None = None
        """A kept head that is in the chain. Both are remembered within one transaction."""
        self._entries: list[tuple[Any, ...]] = []
        """The rows that this transaction has appended. They are written together, before anybody reads the log."""
        self._written = 0
        """The number of those rows that are in the table."""
        self._marked = self._state()

    def entries(self, approval_id: str) -> list[Recorded]:
        return self._recorded("WHERE approval = ? ORDER BY seq", (approval_id,))

    def chain(self, after: int, limit: int) -> list[Recorded]:
        return self._recorded("WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))

    def by_approval(self, after: Recorded | None, limit: int) -> list[Recorded]:
        place = (NOWHERE, _LAST) if after is None else (after.entry.approval, after.seq)
        return self._recorded("WHERE (approval, seq) > (?, ?) ORDER BY approval, seq LIMIT ?", (*place, limit))

    def news(self, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        return self._read(
            "SELECT seq, approval, event FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        ).fetchall()

    def last_seq(self) -> int:
        return self.head()[0]

    def head(self) -> tuple[int, str]:
        if self._head is None:
            self.remember_head(self._read(NEWEST).fetchone())
        assert self._head is not None
        return self._head

    def newest(self) -> datetime | None:
        self.head()
        return self._newest

    def lost(self) -> tuple[int, str] | None:
        kept = self.kept
        if kept not in (None, self._contained) and (kept == self.head() or self.hash_at(kept[0]) == kept[1]):
            self._contained = kept
        if self._contained != kept:
            return kept
        return self.head() if self.is_mixed and self._facts.restored() is None else None

    def hash_at(self, seq: int) -> str | None:
        row: Any = self._read("SELECT hash FROM audit WHERE seq = ?", (seq,)).fetchone()
        return genesis(self._facts.database_id()) if seq == 0 else row and row[0]

    def latest(self, event: str) -> Recorded | None:
        apart = f"INDEXED BY audit_apart WHERE approval = '{NOWHERE}'"
        found = self._recorded(f"{apart} AND event = ? ORDER BY seq DESC LIMIT 1", (event,))
        return found[0] if found else None

    def count_events(
        self, actors: Sequence[str], kind: str, events: Sequence[str], since: datetime, now: datetime
    ) -> int:
        row: Any = self._read(
            "SELECT count(*) FROM audit JOIN approvals ON approvals.id = audit.approval "
            f"WHERE actor IN ({places(actors)}) AND at > ? AND at <= ? AND kind = ? AND event IN ({places(events)})",
            (*actors, to_ms(since), to_ms(now), kind, *events),
        ).fetchone()
        return row[0]

    def has_entry(self, approval_id: str, event: str, actor: str, established: str) -> bool:
        row: Any = self._read(
            "SELECT EXISTS (SELECT 1 FROM audit INDEXED BY audit_approval "
            "WHERE approval = ? AND event = ? AND actor = ? AND established = ?)",
            (approval_id, event, actor, established),
        ).fetchone()
        return bool(row[0])

    def contents(self, after: str, last: str) -> dict[str, dict[str, str]]:
        return self._contents("approval > ? AND approval <= ?", (after, last))

    def contents_of(self, approval_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        return self._contents(f"approval IN ({places(approval_ids)})", tuple(approval_ids))

    def append(self, entry: Entry) -> None:
        """The next number is ours alone, since this transaction has locked the file."""
        last, previous = self.head()
        seq = last + 1
        data = canonical(entry.data, what="data")
        digest = hash_of(seq, entry, previous, data)
        self._entries.append((seq, *rows.entry_row(entry), data.decode(), previous, digest))
        self._head = self.appended = (seq, digest)
        self._newest = entry.at

    def accept_loss(self) -> None:
        self.kept, self.is_mixed = None, False
        self._db.accept_place()

    def _contents(self, where: str, values: tuple[str, ...]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for approval_id, digest, value in self._db.execute(
            f"SELECT approval, digest, value FROM contents WHERE {where}", values
        ):
            found.setdefault(approval_id, {})[digest] = value
        return found

    def _recorded(self, where: str, values: tuple[Any, ...]) -> list[Recorded]:
        found = self._read(f"SELECT {rows.ENTRY} FROM audit {where}", values)
        return [rows.recorded_of(row) for row in found]

    def _read(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        self.write()
        return self._db.execute(statement, values)

    def write(self) -> None:
        """Write what was appended to the table."""
        while left := self._entries[self._written : self._written + _MOST_IN_ONE]:
            self._db.execute(
                f"INSERT INTO audit ({rows.ENTRY}) VALUES {in_rows(len(left), _WIDTH)}",
                [value for row in left for value in row],
            )
            self._written += len(left)

    def remember_head(self, row: Any) -> None:
        """Take `row` for what `NEWEST` finds, until `forget`."""
        self._head = (0, genesis(self._facts.database_id())) if row is None else (row[0], row[1])
        self._newest = None if row is None else from_ms(row[2])

    def begin(self) -> None:
        """Forget everything, since another transaction has begun."""
        self._head = self._contained = self.appended = None
        self._entries, self._written = [], 0

    def mark(self) -> None:
        """Note where a part of the transaction begins."""
        self._marked = self._state()

    def undo(self) -> None:
        """Go back to where this part began."""
        appended, self._written, self._head, self._newest, self.appended = self._marked
        del self._entries[appended:]

    def look_again(self) -> None:
        """Write what was appended, and forget which entry is the newest: somebody may write to the table himself."""
        self.write()
        self._head = self._contained = self.appended = None

    def _state(self) -> tuple[int, int, _Head | None, datetime | None, _Head | None]:
        return len(self._entries), self._written, self._head, self._newest, self.appended
