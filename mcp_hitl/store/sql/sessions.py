"""The statements on sign-in links and sessions."""

from datetime import datetime
from typing import Any

from mcp_hitl.domain.approvals.session import LINK_REACH, Session
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.store.sessions import SessionChanges
from mcp_hitl.store.sql.database import Database
from mcp_hitl.store.unreadable import reading

_COLUMNS = "digest, token_digest, principal, established, assurance, authenticated_at, since, until"


class SqlSessions(SessionChanges):
    """`SessionChanges` in statements that every database understands."""

    def __init__(self, db: Database) -> None:
        """Use `db`."""
        self._db = db

    def get(self, digest: str) -> Session | None:
        row: Any = self._db.execute(f"SELECT {_COLUMNS} FROM sessions WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else _session(row)

    def all(self) -> list[Session]:
        return [_session(row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM sessions ORDER BY since, digest")]

    def has_link(self, digest: str) -> bool:
        return self._db.execute("SELECT 1 FROM sign_in_links WHERE digest = ?", (digest,)).fetchone() is not None

    def add_link(self, digest: str, who: Principal, until: datetime) -> None:
        self._db.execute(
            "INSERT INTO sign_in_links VALUES (?, ?, ?, ?)", (digest, who.id, who.established.value, to_ms(until))
        )

    def take_link(self, digest: str, now: datetime) -> Principal | None:
        row: Any = self._db.execute(
            "DELETE FROM sign_in_links WHERE digest = ? AND until > ? AND until <= ? RETURNING principal, established",
            (digest, to_ms(now), to_ms(now + LINK_REACH)),
        ).fetchone()
        return None if row is None else Principal(row[0], Established(row[1]))

    def add(self, session: Session) -> None:
        self._db.execute(
            f"INSERT INTO sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                session.digest,
                session.token_digest,
                session.who.id,
                session.who.established.value,
                session.assurance.value,
                to_ms(session.authenticated_at),
                to_ms(session.since),
                to_ms(session.until),
            ),
        )

    def end(self, digest: str) -> bool:
        return self._db.execute("DELETE FROM sessions WHERE digest = ?", (digest,)).rowcount == 1

    def shut_out(self) -> tuple[list[Session], int]:
        ended = self.all()
        self._db.execute("DELETE FROM sessions")
        return ended, self._db.execute("DELETE FROM sign_in_links").rowcount

    def drop_outdated(self, now: datetime) -> None:
        for table in ("sign_in_links", "sessions"):
            self._db.execute(f"DELETE FROM {table} WHERE until <= ?", (to_ms(now),))


@reading
def _session(row: Any) -> Session:
    return Session(
        digest=row[0],
        token_digest=row[1],
        who=Principal(row[2], Established(row[3])),
        assurance=Assurance(row[4]),
        authenticated_at=from_ms(row[5]),
        since=from_ms(row[6]),
        until=from_ms(row[7]),
    )
