"""How a page that is open knows the inbox that made it, whoever has its port now (THREATS T30).

A stranger who gets the port is of the same origin to the browser. So each page comes with a secret, which its script
takes out of the document and keeps to itself. With it the page asks whoever answers for a proof, before it sends
anything that is worth something, or loads anything. All pages of a session have the same secret: they talk to each
other by it, where no page of somebody else can listen or speak.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from mcp_hitl.domain.approvals.session import Session

_NAME = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Witness:
    """What a page has: the secret, and a name by which the inbox finds it again."""

    name: str
    secret: str


class Witnesses:
    """Makes and proves them by the key that the processes on a database share, so that nothing is stored."""

    def __init__(self, key: bytes) -> None:
        """With a secret `key`."""
        self._key = key

    def of(self, session: Session | None) -> Witness:
        """Return that of a session's pages, or a new one for a page that is shown without a sign-in."""
        name = self._mac("name", session.digest) if session else secrets.token_hex(32)
        return Witness(name, self._mac("secret", name))

    def proof(self, name: str, challenge: str, port: int) -> str | None:
        """Return what only we can answer to the page, for this port alone; None if it cannot be the name of one.

        Or a stranger could pass the question on to where we are now, and use the answer.
        """
        if not _NAME.fullmatch(name):
            return None
        return _mac(self._mac("secret", name).encode(), f"{challenge}\n{port}")

    def _mac(self, what: str, about: str) -> str:
        return _mac(self._key, f"mcp-hitl page: {what}\n{about}")


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
