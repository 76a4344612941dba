"""The address of a web server, such as `http://localhost:8765`: what RFC 6454 calls an origin."""

import re
from dataclasses import dataclass

_USUAL_PORT = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\])(?::(0|[1-9][0-9]{0,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, a host (an IPv6 address without brackets) and a port. As text, it is what a browser sends as Origin."""

    scheme: str
    host: str
    port: int

    @staticmethod
    def parse(text: str) -> "Origin":
        """Return the origin that is written in `text`, with nothing before or after it.

        Raises:
            ValueError: it is none.
        """
        scheme, _, authority = text.partition("://")
        return Origin.at(scheme, authority)

    @staticmethod
    def at(scheme: str, authority: str) -> "Origin":
        """Return the origin with this host and port, written as in a Host header.

        Raises:
            ValueError: these are none.
        """
        found = _AUTHORITY.fullmatch(authority)
        if scheme not in _USUAL_PORT or found is None:
            raise ValueError("this is not the address of a web server")
        port = _USUAL_PORT[scheme] if found[2] is None else int(found[2])
        if port not in range(65_536):
            raise ValueError("there is no such port")
        return Origin(scheme, found[1].strip("[]"), port)

    @property
    def authority(self) -> str:
        """The host and port, as in a Host header: without the port where it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _USUAL_PORT[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"
