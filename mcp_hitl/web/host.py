"""One inbox for all processes on a database: the first serves it, another takes over when that one ends."""

import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from hmac import compare_digest
from http.client import HTTPConnection, HTTPException

import anyio
import anyio.to_thread

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.session import Whereabouts
from mcp_hitl.domain.values import strict_json
from mcp_hitl.domain.values.errors import Invalid, Unavailable
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.protocols.http.listener import Listener
from mcp_hitl.protocols.http.sockets import LOCALHOST, is_free, numbers
from mcp_hitl.web.app import Inbox
from mcp_hitl.web.sign_in import proof

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often a process looks whether the inbox has been left."""
_ANSWER_SECONDS = 3.0
_MOST_ANSWERED = 10_000
_CLOSING_SECONDS = 0.2
"""What a process that was killed may need to close its port, after it has lost its lock."""


async def keep_address(desk: Desk, address: Origin, *, free: bool) -> None:
    """Until cancelled, tell all processes that the inbox is at `address`, unless it is elsewhere already.

    With `free`, nobody has named its port: another process may go on there after this one.
    """
    try:
        while True:
            with suppress(Unavailable):
                if not desk.inbox.take_inbox():
                    await desk.inbox.find_inbox()
                elif desk.inbox.address != address:
                    await desk.inbox.announce_inbox(address, free=free)
            await anyio.sleep(LOOK_SECONDS)
    finally:
        desk.inbox.leave_inbox()


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
    while True:
        with suppress(Unavailable):
            if not desk.inbox.take_inbox():
                elsewhere(await desk.inbox.find_inbox())
            else:
                try:
                    # The same port again, so that pages which are open go on: they are signed in at that address.
                    # But a port that somebody has named is wanted by the server that was told to use it.
                    port = _port(await desk.inbox.last_inbox())
                    if port and not (await _is_free(port) and await _host(desk, inbox, port, ready)):
                        await desk.inbox.abandon_inbox()
                        port = 0
                    if not port:
                        await desk.inbox.announce_inbox(None)  # what stands there is of a process that has ended
                        await _host(desk, inbox, 0, ready)
                finally:
                    desk.inbox.leave_inbox()
        await anyio.sleep(LOOK_SECONDS)


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


async def _host(desk: Desk, inbox: Inbox, port: int, ready: Callable[[Origin], None]) -> bool:
    """Serve until cancelled; False where the port could not be taken."""
    listening = anyio.Event()
    listener = Listener(inbox.app, LOCALHOST, port, ready=lambda _: listening.set())
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
    return listening.is_set()


async def _announce(desk: Desk, address: Origin) -> None:
    """Record the address, as soon as the database takes it: until then the inbox is there, and nobody is told where."""
    while True:
        try:
            return await desk.inbox.announce_inbox(address, free=True)
        except Unavailable as error:
            logger.warning("where the inbox is cannot be recorded yet: %s", error)
            await anyio.sleep(LOOK_SECONDS)


async def _is_free(port: int) -> bool:
    """Return True if the port is free, checked without starting a server."""
    if not is_free(LOCALHOST, port):
        await anyio.sleep(_CLOSING_SECONDS)
        return is_free(LOCALHOST, port)
    return True


def _port(last: Whereabouts | None) -> int:
    return last.address.port if last is not None and last.free else 0
