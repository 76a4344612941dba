"""The programs that have connected: what they report about themselves, and how they can show a question to a person."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mcp_hitl.domain.values.text import visible

MOST_CLIENTS = 50
"""How many clients a database keeps. It drops the client that has been away longest first."""
_MOST_CHARACTERS = 80


class Transport(StrEnum):
    """How a client reaches the server."""

    STDIO = "stdio"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class Client:
    """One type of client. It chose its own name, version and revision; `told` makes them safe to store."""

    name: str
    version: str
    protocol: str
    transport: Transport
    forms: bool
    """True if it declares that it can show forms."""
    url: bool
    """True if it declares that it can send its person to a web page."""

    @staticmethod
    def told(name: str, version: str, protocol: str, transport: Transport, *, forms: bool, url: bool) -> "Client":
        """Return a client from what it reports, which may be anything: cut to length, deceptive characters escaped."""
        return Client(_kept(name), _kept(version), _kept(protocol), transport, forms, url)

    @property
    def title(self) -> str:
        """The name and version to show, such as `Claude Desktop 1.2`, with deceptive characters escaped again."""
        return " ".join(filter(None, (visible(self.name), visible(self.version)))) or "A client without a name"


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """A client, and the times when it was first and last seen on this database."""

    client: Client
    first_seen: datetime
    last_seen: datetime


def _kept(text: str) -> str:
    cut = visible(text[:_MOST_CHARACTERS].strip())
    return f"{cut}…" if len(text) > _MOST_CHARACTERS else cut
