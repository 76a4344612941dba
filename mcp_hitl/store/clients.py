"""Reads the connected clients; records connected clients."""

from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.approvals.clients import Acquaintance, Client


class ClientReads(Protocol):
    """Reads the connected clients."""

    def all(self) -> list[Acquaintance]:
        """Return the connected clients, the one seen last first."""
        ...


class ClientChanges(ClientReads, Protocol):
    """Records connected clients."""

    def meet(self, client: Client, now: datetime) -> None:
        """Record that a client is connected. Only the `MOST_CLIENTS` seen last are kept."""
        ...
