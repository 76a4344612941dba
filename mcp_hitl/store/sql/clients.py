"""The statements about connected clients."""

from datetime import datetime
from typing import Any

from mcp_hitl.domain.approvals.clients import MOST_CLIENTS, Acquaintance, Client, Transport
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.store.clients import ClientChanges
from mcp_hitl.store.sql.database import Database
from mcp_hitl.store.unreadable import reading


class SqlClients(ClientChanges):
    """`ClientChanges` in statements that every database understands."""

    def __init__(self, db: Database) -> None:
        """Use `db`."""
        self._db = db

    def all(self) -> list[Acquaintance]:
        found = self._db.execute(
            "SELECT name, version, protocol, transport, forms, url, first_seen, last_seen FROM clients "
            "ORDER BY last_seen DESC, rowid DESC"
        )
        return [_acquaintance(row) for row in found]

    def meet(self, client: Client, now: datetime) -> None:
        seen = (to_ms(now), to_ms(now))
        self._db.execute(
            "INSERT INTO clients (name, version, protocol, transport, forms, url, first_seen, last_seen) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name, version, protocol, transport, forms, url) "
            "DO UPDATE SET last_seen = "
            "CASE WHEN clients.last_seen > excluded.last_seen THEN clients.last_seen ELSE excluded.last_seen END",
            (client.name, client.version, client.protocol, client.transport, int(client.forms), int(client.url), *seen),
        )
        self._db.execute(
            "DELETE FROM clients WHERE rowid NOT IN "
            "(SELECT rowid FROM clients ORDER BY last_seen DESC, rowid DESC LIMIT ?)",
            (MOST_CLIENTS,),
        )


@reading
def _acquaintance(row: Any) -> Acquaintance:
    client = Client(row[0], row[1], row[2], Transport(row[3]), bool(row[4]), bool(row[5]))
    return Acquaintance(client, from_ms(row[6]), from_ms(row[7]))
