"""The statements about the audit log and the facts of the database itself."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mcp_hitl.domain.evidence.audit import Entry, Recorded, genesis, sealed
from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.store.sqlite import rows


class LogStatements:
    """The part of a transaction that concerns the log, the clock and the profile."""

    _db: sqlite3.Connection
    _mark: datetime | None
    """Remembered within one transaction, like the head."""
    _head: tuple[int, str] | None

    def entries(self, approval_id: str) -> list[Recorded]:
        """See `View.entries`."""
        return self._recorded("WHERE approval = ? ORDER BY seq", (approval_id,))

    def chain(self, after: int, limit: int) -> list[Recorded]:
        """See `View.chain`."""
        return self._recorded("WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))

    def news(self, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """See `View.news`."""
        return self._db.execute(
            "SELECT seq, approval, event FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        ).fetchall()

    def last_seq(self) -> int:
        """See `View.last_seq`."""
        return self.head()[0]

    def head(self) -> tuple[int, str]:
        """See `View.head`."""
        if self._head is None:
            row: Any = self._db.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            self._head = (0, genesis(self.database_id())) if row is None else (row[0], row[1])
        return self._head

    def hash_at(self, seq: int) -> str | None:
        """See `View.hash_at`."""
        row: Any = self._db.execute("SELECT hash FROM audit WHERE seq = ?", (seq,)).fetchone()
        return genesis(self.database_id()) if seq == 0 else row and row[0]

    def count_events(self, actor: str, kind: str, events: Sequence[str], since: datetime) -> int:
        """See `View.count_events`."""
        row: Any = self._db.execute(
            "SELECT count(*) FROM audit JOIN approvals ON approvals.id = audit.approval "
            f"WHERE actor = ? AND at > ? AND kind = ? AND event IN ({', '.join('?' * len(events))})",
            (actor, to_ms(since), kind, *events),
        ).fetchone()
        return row[0]

    def mark(self) -> datetime:
        """See `View.mark`."""
        if self._mark is None:
            self._mark = from_ms(int(self._fact("clock")))
        return self._mark

    def database_id(self) -> str:
        """See `View.database_id`."""
        return self._fact("database")

    def profile(self) -> Profile:
        """See `View.profile`."""
        return Profile(self._fact("profile"))

    def governed(self) -> bool:
        """See `View.governed`."""
        return self._fact("governed") == "yes"

    def content(self, approval_id: str) -> dict[str, str]:
        """See `View.content`."""
        found = self._db.execute("SELECT digest, value FROM contents WHERE approval = ?", (approval_id,)).fetchall()
        return {digest: value for digest, value in found}

    def append(self, entry: Entry) -> None:
        """See `Transaction.append`. The next number is ours alone, since this transaction has locked the file."""
        last, previous = self.head()
        seq = last + 1
        data, digest = sealed(seq, entry, previous)
        row = (seq, *rows.entry_row(entry), data, previous, digest)
        self._db.execute(f"INSERT INTO audit ({rows.ENTRY}) VALUES ({', '.join('?' * len(row))})", row)
        self._head = (seq, digest)

    def remember(self, now: datetime) -> None:
        """See `Transaction.remember`."""
        self._set_fact("clock", str(to_ms(now)))
        self._mark = None

    def set_governed(self) -> None:
        """See `Transaction.set_governed`."""
        self._set_fact("governed", "yes")

    def set_profile(self, profile: Profile) -> None:
        """See `Transaction.set_profile`."""
        self._set_fact("profile", profile.value)

    def _recorded(self, where: str, values: tuple[Any, ...]) -> list[Recorded]:
        found = self._db.execute(f"SELECT {rows.ENTRY} FROM audit {where}", values)
        return [rows.recorded_of(row) for row in found]

    def _fact(self, name: str) -> str:
        row: Any = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0]

    def _set_fact(self, name: str, value: str) -> None:
        self._db.execute("UPDATE facts SET value = ? WHERE name = ?", (value, name))
