"""The programs that have connected: what they say of themselves, and how they can put a question to their person."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mcp_hitl.domain.text import visible

MOST_CLIENTS = 50
"""How many a database keeps; the one that was not seen for longest goes first."""
_MOST_CHARACTERS = 80


class Transport(StrEnum):
    """How a client reaches the server."""

    STDIO = "stdio"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class Client:
    """One sort of client. Name, version and revision are its own words, made safe to keep by `told`."""

    name: str
    version: str
    protocol: str
    transport: Transport
    forms: bool
    """Whether it declares that it shows forms."""
    url: bool
    """Whether it declares that it leads its person to a page."""

    @staticmethod
    def told(name: str, version: str, protocol: str, transport: Transport, *, forms: bool, url: bool) -> "Client":
        """A client by what it says of itself, which may be anything: cut, and with escapes for what deceives."""
        return Client(_kept(name), _kept(version), _kept(protocol), transport, forms, url)

    @property
    def title(self) -> str:
        """`Claude Desktop 1.2`, as far as it says; to be read, so what deceives is shown here too."""
        return " ".join(filter(None, (visible(self.name), visible(self.version)))) or "A client without a name"


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """A client, and when it was first and last seen on this database."""

    client: Client
    first_seen: datetime
    last_seen: datetime


def _kept(text: str) -> str:
    cut = visible(text[:_MOST_CHARACTERS].strip())
    return f"{cut}…" if len(text) > _MOST_CHARACTERS else cut
