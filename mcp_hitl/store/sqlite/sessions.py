"""The statements about sign-in sessions and the inbox's address."""

import sqlite3
from datetime import datetime
from typing import Any

from mcp_hitl.domain.approvals.session import Session, Whereabouts
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.instants import from_ms, to_ms

_FREE, _NAMED = "free", "named"
"""How the port of a recorded address was chosen."""

_COLUMNS = "digest, token_digest, principal, established, since, until"


class SessionStatements:
    """The part of a transaction that concerns sign-in and the inbox's address."""

    _db: sqlite3.Connection

    def session(self, digest: str) -> Session | None:
        """See `View.session`."""
        row: Any = self._db.execute(f"SELECT {_COLUMNS} FROM sessions WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else _session(row)

    def sessions(self) -> list[Session]:
        """See `View.sessions`."""
        return [_session(row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM sessions ORDER BY since, digest")]

    def has_link(self, digest: str) -> bool:
        """See `View.has_link`."""
        return self._db.execute("SELECT 1 FROM sign_in_links WHERE digest = ?", (digest,)).fetchone() is not None

    def inbox(self) -> Whereabouts | None:
        """See `View.inbox`."""
        row: Any = self._db.execute("SELECT value FROM facts WHERE name = 'inbox'").fetchone()
        address, _, port = row[0].partition(" ")
        return Whereabouts(address, port == _FREE) if address else None

    def add_link(self, digest: str, who: Principal, until: datetime) -> None:
        """See `Transaction.add_link`."""
        self._db.execute(
            "INSERT INTO sign_in_links VALUES (?, ?, ?, ?)", (digest, who.id, who.established.value, to_ms(until))
        )

    def take_link(self, digest: str, now: datetime) -> Principal | None:
        """See `Transaction.take_link`."""
        row: Any = self._db.execute(
            "DELETE FROM sign_in_links WHERE digest = ? AND until > ? RETURNING principal, established",
            (digest, to_ms(now)),
        ).fetchone()
        return None if row is None else Principal(row[0], Established(row[1]))

    def add_session(self, session: Session) -> None:
        """See `Transaction.add_session`."""
        self._db.execute(
            f"INSERT INTO sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
            (
                session.digest,
                session.token_digest,
                session.who.id,
                session.who.established.value,
                to_ms(session.since),
                to_ms(session.until),
            ),
        )

    def end_session(self, digest: str) -> bool:
        """See `Transaction.end_session`."""
        return self._db.execute("DELETE FROM sessions WHERE digest = ?", (digest,)).rowcount == 1

    def shut_out(self) -> tuple[list[Session], int]:
        """See `Transaction.shut_out`."""
        ended = self.sessions()
        self._db.execute("DELETE FROM sessions")
        return ended, self._db.execute("DELETE FROM sign_in_links").rowcount

    def drop_outdated(self, now: datetime) -> None:
        """See `Transaction.drop_outdated`."""
        for table in ("sign_in_links", "sessions"):
            self._db.execute(f"DELETE FROM {table} WHERE until <= ?", (to_ms(now),))

    def set_inbox(self, where: Whereabouts | None) -> None:
        """See `Transaction.set_inbox`."""
        value = "" if where is None else f"{where.address} {_FREE if where.free else _NAMED}"
        self._db.execute("UPDATE facts SET value = ? WHERE name = 'inbox'", (value,))


def _session(row: Any) -> Session:
    return Session(
        digest=row[0],
        token_digest=row[1],
        who=Principal(row[2], Established(row[3])),
        since=from_ms(row[4]),
        until=from_ms(row[5]),
    )
