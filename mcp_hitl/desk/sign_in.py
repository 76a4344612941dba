"""Signing in at the inbox, and the inbox's address."""

import hashlib
import secrets
from dataclasses import dataclass

import anyio

from mcp_hitl.desk.context import Context
from mcp_hitl.desk.transactions.log_entries import begin, instant, record
from mcp_hitl.desk.transactions.sign_out import shut_out
from mcp_hitl.domain.approvals.session import LINK_LIFE, SESSION_LIFE, LinkEnd, Session
from mcp_hitl.domain.evidence import events
from mcp_hitl.domain.evidence.chain import NOWHERE
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.assurances import LINK
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.errors import NotAllowed
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.store.transaction import Transaction

_BYTES = 32
_MOST_SPENT = 10_000
"""Ports that are remembered, of the 28,000 or more from which a system chooses: each start after a gap spends one."""
_ENTERING = frozenset({Event.SIGNED_IN, Event.SIGNED_OUT})


def inbox_lock(machine: str | None) -> str:
    """Return the name of the lock that the process serving a machine's inbox holds."""
    return "inbox" if machine is None else f"inbox at {machine}"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: the secret for its cookie, the token for its pages, and the session itself."""

    secret: str
    token: str
    session: Session


class InboxAccess:
    """The part of the desk that handles sign-in, and the inbox's address."""

    def __init__(self, at: Context) -> None:
        """Work where `at` says."""
        self._at = at
        self._machine = at.store.machine()
        """The inbox listens on the loopback address alone, so each machine has one."""
        self._lock = inbox_lock(self._machine)
        self.address: Origin | None = None
        """The inbox's address, such as `http://localhost:8765`; None if there is no inbox."""

    async def offer_link(self, who: Principal) -> str:
        """Return a code with which one browser can sign in as `who`, within `LINK_LIFE`."""
        code = secrets.token_urlsafe(_BYTES)
        who = Principal(who.id, Established.SIGN_IN_LINK)

        def work(tx: Transaction) -> None:
            now = begin(tx, self._at.clock())
            tx.sessions.drop_outdated(now)
            tx.sessions.add_link(digest(code), who, now + LINK_LIFE)

        await self._at.store.write(work)
        return code

    async def sign_in(self, code: str, *, at: Origin | None = None) -> SignedIn:
        """Use up a link and begin a session. Its token is valid at one address only.

        Raises:
            NotAllowed: the link was used already, is too old, or never existed.
        """
        secret, token = secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(_BYTES)

        def work(tx: Transaction) -> Session:
            now = begin(tx, self._at.clock())
            who = tx.sessions.take_link(digest(code), now)
            if who is None:
                raise NotAllowed(
                    "This sign-in link was used already, or is more than ten minutes old. Run mcp-hitl inbox to get "
                    "a new one."
                )
            session = Session(
                digest=digest(secret),
                token_digest=token_digest(at, token),
                who=who,
                assurance=LINK.assurance,
                authenticated_at=now,
                since=now,
                until=now + SESSION_LIFE,
            )
            tx.sessions.drop_outdated(now)
            tx.sessions.add(session)
            record(tx, None, events.SignedIn(), now, who)
            return session

        return SignedIn(secret, token, await self._at.store.write(work))

    async def link_end(self, code: str, *, seconds: float) -> LinkEnd:
        """Wait until somebody has signed in with a link, or has voided it. Return `UNUSED` if that takes longer."""
        changed = anyio.Event()
        with anyio.move_on_after(seconds):
            async with self._at.feed.listen(NOWHERE, lambda _: changed.set(), events=_ENTERING):
                while True:
                    changed = anyio.Event()
                    there, sessions = await self._at.store.read(
                        lambda view: (view.sessions.has_link(digest(code)), view.sessions.all())
                    )
                    if not there:
                        # What voids links ends all sessions with them, and what uses one begins a session.
                        return LinkEnd.USED if sessions else LinkEnd.VOIDED
                    await changed.wait()
        return LinkEnd.UNUSED

    async def session(self, secret: str) -> Session | None:
        """Return the session that belongs to a cookie's secret, or None if there is none any more."""
        clock = self._at.clock()
        held, now = await self._at.store.read(lambda view: (view.sessions.get(digest(secret)), instant(view, clock)))
        return held if held is not None and held.lasts_at(now) else None

    async def lasts(self, session: Session) -> bool:
        """Return True if a session is still valid: not expired, and not signed out by any process."""
        clock = self._at.clock()
        held, now = await self._at.store.read(lambda view: (view.sessions.get(session.digest), instant(view, clock)))
        return held is not None and held.lasts_at(now)

    async def sign_out(self, session: Session) -> None:
        """End a session."""

        def work(tx: Transaction) -> None:
            now = begin(tx, self._at.clock())
            if tx.sessions.end(session.digest):
                record(tx, None, events.SignedOut(), now, session.who)

        await self._at.store.write(work)

    async def sign_everybody_out(self, who: Principal | None) -> int:
        """End every session and void every link, for `who` (None: the system). Return the number of sessions ended."""
        return await self._at.store.write(lambda tx: self._shut_out(tx, who))

    async def database_id(self) -> str:
        """Return the id that distinguishes this database from every other."""
        return await self._at.store.read(lambda view: view.facts.database_id())

    def take_inbox(self) -> bool:
        """Become the process that serves this machine's inbox. Return False if another process serves it."""
        return self._at.store.hold(self._lock)

    async def announce_inbox(self, address: Origin) -> None:
        """Record the inbox's address for all processes; only the process that has taken the inbox may do this."""

        def work(tx: Transaction) -> None:
            tx.facts.set_inbox(address, self._machine)
            _spend(tx, address.port)

        await self._at.store.write(work)
        self.address = address

    async def spend_port(self, port: int) -> None:
        """Record that we are served at a port where the inbox is not, and shall never be (THREATS T30)."""
        await self._at.store.write(lambda tx: _spend(tx, port))

    async def spent_ports(self) -> frozenset[int]:
        """Return the ports at which the inbox may not begin anew.

        Whoever has had one in a gap may have left something there, such as a service worker, and can take every other
        port of the machine so that only that one is free.
        """
        return frozenset(await self._at.store.read(lambda view: view.facts.spent_ports()))

    async def begin_anew(self) -> None:
        """End every session and void every link, and never use the recorded address again (THREATS T30).

        Call it after taking the inbox, if anybody else could have had its port since it was served there: a browser
        sends its cookie, and even the code of a link, to any program at an address that it knows.
        """

        def work(tx: Transaction) -> None:
            tx.facts.set_inbox(None, self._machine)
            self._shut_out(tx, None)

        await self._at.store.write(work)
        self.address = None

    def leave_inbox(self) -> None:
        """Let another process serve the inbox. The address stays recorded; it is valid while a process serves it."""
        self.address = None
        self._at.store.let_go(self._lock)

    async def find_inbox(self) -> Origin | None:
        """Return the inbox's address and remember it; None if no process serves the inbox now."""
        last = await self.last_inbox()
        self.address = last if self._at.store.is_held(self._lock) else None
        return self.address

    async def last_inbox(self) -> Origin | None:
        """Return the inbox's present or last address, whatever program answers there now."""
        return await self._at.store.read(lambda view: view.facts.inbox(self._machine))

    def _shut_out(self, tx: Transaction, who: Principal | None) -> int:
        return shut_out(tx, who, begin(tx, self._at.clock()))


def _spend(tx: Transaction, port: int) -> None:
    others = [one for one in tx.facts.spent_ports() if one != port]
    tx.facts.set_spent_ports([*others, port][-_MOST_SPENT:])


def digest(secret: str) -> str:
    """Return the hash that is stored instead of a secret. Secrets are random, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def token_digest(at: Origin | None, token: str) -> str:
    """Return the hash of a token that is valid at one address only."""
    return digest(f"{at or ''}{token}")
