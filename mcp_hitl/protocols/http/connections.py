"""Connections: so many at a time, and each ended if its client does not send its request or take its answer in time."""

import asyncio
import os
import socket
import struct
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_LINGER = "ii" if os.name == "posix" else "hh"


class Connection(H11Protocol):
    """One connection, as uvicorn serves it. A request that has arrived may take any time: streams and waiting calls.

    uvicorn alone waits forever for the head or the body of a request, and for a client to take what is sent to it
    (THREATS T37).
    """

    most: ClassVar[int] = 500
    """Half of the files that a process may have open on most systems."""
    seconds: ClassVar[float] = 20.0
    """How long a whole request may take to arrive, and each piece of an answer to be taken. Each client is on this
    machine.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        """Begin without a deadline."""
        super().__init__(*given, **named)
        self._arriving: asyncio.TimerHandle | None = None
        self._leaving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, or refuse the connection if there are too many."""
        super().connection_made(transport)
        # Whoever sends waits from the first byte on that the system does not take, and that is when the time begins.
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) > self.most:
            transport.write(_FULL)
            transport.close()
        else:
            self._watch()

    def handle_events(self) -> None:
        """Take more of a request: of what has just come, or of what came behind an earlier request."""
        super().handle_events()
        self._watch()

    def _should_upgrade(self) -> bool:
        """We speak nothing but HTTP, whatever is installed; who asks for more is answered as if it had not."""
        return False

    def pause_writing(self) -> None:
        """Wait until the client has taken what it was sent, but not for long."""
        super().pause_writing()
        self._leaving = self.loop.call_later(self.seconds, self._give_up)

    def resume_writing(self) -> None:
        """Send more."""
        super().resume_writing()
        self._leaving = _over(self._leaving)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._arriving, self._leaving = _over(self._arriving), _over(self._leaving)

    def _give_up(self) -> None:
        """End the connection, and have the system forget what it holds for the client: megabytes, and for minutes."""
        accepted: socket.socket = self.transport.get_extra_info("socket")
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
        self.transport.abort()

    def _watch(self) -> None:
        """Begin the time that a request has, once, or end it if the request is whole."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._arriving = _over(self._arriving)
        elif self._arriving is None and not self.transport.is_closing():
            self._arriving = self.loop.call_later(self.seconds, self.transport.abort)


def _over(deadline: asyncio.TimerHandle | None) -> None:
    if deadline is not None:
        deadline.cancel()
