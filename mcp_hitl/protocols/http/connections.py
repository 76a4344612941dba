"""Connections: so many at a time, and each ended if its request does not arrive in time."""

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(H11Protocol):
    """One connection, as uvicorn serves it. A request that has arrived may take any time: streams and waiting calls.

    uvicorn alone waits forever for the head or the body of a request (THREATS T37).
    """

    most: ClassVar[int] = 500
    """Half of the files that a process may have open on most systems."""
    seconds: ClassVar[float] = 20.0
    """How long a whole request may take to arrive. Each comes from this machine."""

    def __init__(self, *given: Any, **named: Any) -> None:
        """Begin without a deadline."""
        super().__init__(*given, **named)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, or refuse the connection if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(_FULL)
            transport.close()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Take more of a request."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._unwatch()

    def _watch(self) -> None:
        """Begin the time that a request has, once, or end it if the request is whole."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._unwatch()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.seconds, self.transport.abort)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
