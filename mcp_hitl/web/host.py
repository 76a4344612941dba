"""One inbox for all processes on a database: the first serves it, another takes over when that one ends."""

import errno
import logging
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from hmac import compare_digest
from http.client import HTTPConnection, HTTPException
from typing import Self

import anyio
import anyio.to_thread

from mcp_hitl.desk import Desk
from mcp_hitl.domain.values import strict_json
from mcp_hitl.domain.values.beats import next_beat
from mcp_hitl.domain.values.errors import Invalid, Unavailable
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.protocols.http.listener import Listener
from mcp_hitl.protocols.http.sockets import LOCALHOST, close, keep, numbers, shared
from mcp_hitl.web.app import Inbox
from mcp_hitl.web.sign_in import proof

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often a process looks whether the inbox has been left."""
_NO_PORT = (
    "There is no inbox yet: no port of this machine is free for it. End programs that hold ports; it is tried again "
    "every second."
)
_ANSWER_SECONDS = 3.0
_MOST_ANSWERED = 10_000


async def host_inbox(
    desk: Desk,
    inbox: Inbox,
    *,
    ready: Callable[[Origin], None] = lambda address: None,
    elsewhere: Callable[[Origin | None], None] = lambda address: None,
) -> None:
    """Serve the inbox beside something else, whenever no other process does, until cancelled.

    `ready` is called with the address where this process serves it; `elsewhere` whenever another one does, with None
    until that one has said where.
    """
    with _KeptPort(inbox.key) as kept:
        told: int | None = None
        while True:
            with suppress(Unavailable):
                if kept.keeps(desk.inbox.still_there()):
                    pass  # all is as it was a second ago
                elif not desk.inbox.take_inbox():
                    address = await desk.inbox.find_inbox()
                    elsewhere(address)
                    await kept.keep(address)
                else:
                    try:
                        await _host(desk, inbox, await _sockets(desk, kept), ready)
                    except OSError as error:
                        if told != error.errno:  # once, and not every second
                            logger.error(
                                "%s", _NO_PORT if error.errno == errno.EADDRINUSE else f"No inbox yet: {error}."
                            )
                        told = error.errno
                    finally:
                        desk.inbox.leave_inbox()
            await anyio.sleep_until(next_beat(anyio.current_time(), LOOK_SECONDS))


class _KeptPort:
    """The port of the process that serves the inbox, kept by one that may take over: nobody else can have had it."""

    def __init__(self, key: bytes) -> None:
        """`key` is what the processes on the database share."""
        self._key = key
        self._address: Origin | None = None
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        close(self.take(self._address))

    def keeps(self, address: Origin | None) -> bool:
        """Return True if it has the port of this address."""
        return address is not None and address == self._address

    async def keep(self, address: Origin | None) -> None:
        """Keep the port of the inbox that is served there; None while nobody says where it is."""
        if address in {None, self._address}:
            return
        assert address is not None
        close(self.take(self._address))
        try:
            sockets = keep(address.host, address.port)
        except OSError:
            return
        # Asked after it is kept: whoever still answers as the inbox has had the port until now, and not a stranger.
        if await is_ours(self._key, address):
            self._address, self._sockets = address, sockets
        else:
            close(sockets)

    def take(self, address: Origin | None) -> list[socket.socket]:
        """Hand over the sockets of the port; there are none where another address was kept."""
        kept, sockets = self._address, self._sockets
        self._address, self._sockets = None, []
        if kept == address:
            return sockets
        close(sockets)
        return []


async def is_ours(key: bytes, address: Origin) -> bool:
    """Whether the inbox of this very database answers there, and no stranger who has taken its port.

    It has to answer at every number of the address: a browser goes to any of them.
    """
    there = [Origin(address.scheme, number, address.port) for number in numbers(address.host, address.port)]
    return bool(there) and all([await _proves(key, one) for one in there])


async def _proves(key: bytes, address: Origin) -> bool:
    challenge = secrets.token_hex(32)

    def ask() -> str:
        connection = HTTPConnection(address.host, address.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", f"/inbox/identity?challenge={challenge}")
            return str(strict_json.parse(connection.getresponse().read(_MOST_ANSWERED), what="the answer")["proof"])
        finally:
            connection.close()

    try:
        answered = await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)
    except (OSError, HTTPException, Invalid, KeyError, TypeError):
        return False
    return answered.isascii() and compare_digest(answered, proof(key, challenge, address))


async def _sockets(desk: Desk, kept: _KeptPort) -> list[socket.socket]:
    """Where to serve the inbox: on the port that it has had, if it has had it without a gap, and else on another one.

    A stranger who has had the port, however shortly, has had the cookies of the browsers that asked there, and what is
    kept for the address: and has left there what it wanted, such as a service worker or a page that stays open.
    """
    sockets = kept.take(await desk.inbox.last_inbox())
    if not sockets:
        await desk.inbox.begin_anew()
        sockets = shared(LOCALHOST, but=await desk.inbox.spent_ports())
    return sockets


async def _host(desk: Desk, inbox: Inbox, sockets: list[socket.socket], ready: Callable[[Origin], None]) -> None:
    """Serve until cancelled."""
    listening = anyio.Event()
    listener = Listener(inbox.app, LOCALHOST, 0, ready=lambda _: listening.set(), sockets=sockets)
    async with anyio.create_task_group() as tasks, inbox.open():

        async def serve() -> None:
            with anyio.CancelScope(shield=True):  # a stop lets it close its connections
                await listener.run()
            tasks.cancel_scope.cancel()

        tasks.start_soon(serve)
        try:
            await listening.wait()
            await _announce(desk, listener.address)
            ready(listener.address)
            await anyio.sleep_forever()
        finally:
            listener.stop()


async def _announce(desk: Desk, address: Origin) -> None:
    """Record the address, as soon as the database takes it: until then the inbox is there, and nobody is told where."""
    while True:
        try:
            return await desk.inbox.announce_inbox(address)
        except Unavailable as error:
            logger.warning("where the inbox is cannot be recorded yet: %s", error)
            await anyio.sleep(LOOK_SECONDS)
