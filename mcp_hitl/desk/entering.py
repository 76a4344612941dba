"""Signing in at the inbox, and where the inbox is."""

import hashlib
import secrets
from dataclasses import dataclass

import anyio

from mcp_hitl.desk.looking import Looking
from mcp_hitl.desk.recording import begin, instant, record
from mcp_hitl.domain.audit import NOWHERE, Event
from mcp_hitl.domain.errors import NotAllowed
from mcp_hitl.domain.principal import Established, Principal
from mcp_hitl.domain.session import LINK_LIFE, SESSION_LIFE, LinkEnd, Session, Whereabouts
from mcp_hitl.store.transaction import Transaction

INBOX = "inbox"
"""What the process that serves it has hold of."""
_BYTES = 32
_ENTERING = frozenset({Event.SIGNED_IN, Event.SIGNED_OUT})


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that has just begun: the secret for its cookie, the token for its pages, and the session itself."""

    secret: str
    token: str
    session: Session


class Entering(Looking):
    """The part of the desk that lets people in and knows its own address."""

    async def offer_link(self, who: Principal) -> str:
        """Return a code with which one browser can sign in as `who`, within `LINK_LIFE`."""
        code = secrets.token_urlsafe(_BYTES)
        who = Principal(who.id, Established.SIGN_IN_LINK)

        def work(tx: Transaction) -> None:
            now = begin(tx, self.clock())
            tx.drop_outdated(now)
            tx.add_link(digest(code), who, now + LINK_LIFE)

        await self._store.write(work)
        return code

    async def sign_in(self, code: str, *, at: str = "") -> SignedIn:
        """Use a link up and begin a session, whose token counts at one address alone.

        Raises:
            NotAllowed: it was used, or is too old, or never was one.
        """
        secret, token = secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(_BYTES)

        def work(tx: Transaction) -> Session:
            now = begin(tx, self.clock())
            who = tx.take_link(digest(code), now)
            if who is None:
                raise NotAllowed(
                    "This sign-in link was used already, or is more than ten minutes old. Run mcp-hitl inbox for "
                    "another one."
                )
            session = Session(
                digest=digest(secret), token_digest=digest(at + token), who=who, since=now, until=now + SESSION_LIFE
            )
            tx.drop_outdated(now)
            tx.add_session(session)
            record(tx, None, Event.SIGNED_IN, now, who)
            return session

        return SignedIn(secret, token, await self._store.write(work))

    async def link_end(self, code: str, *, seconds: float) -> LinkEnd:
        """Wait until somebody has signed in with a link, or has voided it; `UNUSED` where that took longer."""
        changed = anyio.Event()
        with anyio.move_on_after(seconds):
            async with self.feed.listen(NOWHERE, lambda _: changed.set(), events=_ENTERING):
                while True:
                    changed = anyio.Event()
                    there, sessions = await self._store.read(
                        lambda view: (view.has_link(digest(code)), view.sessions())
                    )
                    if not there:
                        # What voids links ends all sessions with them, and what uses one begins a session.
                        return LinkEnd.USED if sessions else LinkEnd.VOIDED
                    await changed.wait()
        return LinkEnd.UNUSED

    async def session(self, secret: str) -> Session | None:
        """The session that a cookie's secret stands for, None where there is none any more."""
        clock = self.clock()
        held, now = await self._store.read(lambda view: (view.session(digest(secret)), instant(view, clock)))
        return held if held is not None and now < held.until else None

    async def lasts(self, session: Session) -> bool:
        """Whether a session that was there is not over, here or by a sign-out at another process."""
        clock = self.clock()
        held, now = await self._store.read(lambda view: (view.session(session.digest), instant(view, clock)))
        return held is not None and now < held.until

    async def sign_out(self, session: Session) -> None:
        """End a session."""

        def work(tx: Transaction) -> None:
            now = begin(tx, self.clock())
            if tx.end_session(session.digest):
                record(tx, None, Event.SIGNED_OUT, now, session.who)

        await self._store.write(work)

    async def sign_everybody_out(self, who: Principal | None) -> int:
        """End every session and void every link, for `who` (None: the system); returns how many sessions that were."""
        return await self._store.write(lambda tx: self._shut_out(tx, who))

    async def database_id(self) -> str:
        """What tells this database from every other."""
        return await self._store.read(lambda view: view.database_id())

    def take_inbox(self) -> bool:
        """Become the process that serves the inbox of this database; False where another one is."""
        return self._store.hold(INBOX)

    async def announce_inbox(self, address: str | None, *, free: bool = False) -> None:
        """Record for all processes where the inbox is; only for the one that has taken it.

        With `free`, nobody has named its port, and another process may go on there.
        """
        where = None if address is None else Whereabouts(address, free)
        await self._store.write(lambda tx: tx.set_inbox(where))
        self.address = address

    async def abandon_inbox(self) -> None:
        """Never go back to the recorded address: a stranger listens there. Only for who has taken the inbox.

        A browser sends its cookie, and even the code of a link, to whoever answers at an address that it knows. So
        these are worth nothing from now on; the token counts only where it was given anyway.
        """

        def work(tx: Transaction) -> None:
            tx.set_inbox(None)
            self._shut_out(tx, None)

        await self._store.write(work)
        self.address = None

    def leave_inbox(self) -> None:
        """Let another process serve the inbox. The address stays recorded; it counts while somebody has hold of it."""
        self.address = None
        self._store.let_go(INBOX)

    async def find_inbox(self) -> str | None:
        """Learn where the inbox is; None where nobody serves it now."""
        where = await self.last_inbox()
        self.address = where.address if where is not None and self._store.is_held(INBOX) else None
        return self.address

    async def last_inbox(self) -> Whereabouts | None:
        """Where the inbox is or was last, whoever answers there now."""
        return await self._store.read(lambda view: view.inbox())

    def _shut_out(self, tx: Transaction, who: Principal | None) -> int:
        now = begin(tx, self.clock())
        tx.drop_outdated(now)
        ended, links = tx.shut_out()
        for session in ended:
            record(tx, None, Event.SIGNED_OUT, now, who, person=session.who.id)
        if links:  # told even where nobody was signed in: somebody may be waiting for one to be used
            record(tx, None, Event.SIGNED_OUT, now, who, links=links)
        return len(ended)


def digest(secret: str) -> str:
    """What is kept of a secret. It is random, so that a plain hash does."""
    return hashlib.sha256(secret.encode()).hexdigest()
