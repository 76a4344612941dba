"""Event streams without a browser: as many as a test wants, each the connection of one page."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import anyio.abc

from mcp_hitl.desk.sign_in import SignedIn
from mcp_hitl.web.door import cookie_name


class Stream:
    """What one page hears."""

    def __init__(self, connection: anyio.abc.SocketStream) -> None:
        """On a connection that has asked for it."""
        self._connection = connection
        self.heard = b""

    async def until(self, text: str, *, times: int = 1) -> None:
        """Return when `text` was heard so often since the stream began."""
        while self.heard.count(text.encode()) < times:
            self.heard += await self._connection.receive()

    async def end(self) -> None:
        """Return when the server has ended it."""
        try:
            while True:
                self.heard += await self._connection.receive()
        except anyio.EndOfStream:
            return


@asynccontextmanager
async def stream(address: str, database: str, session: SignedIn) -> AsyncGenerator[Stream]:
    """A stream that is open, of a browser that is signed in."""
    there = urlsplit(address)
    assert there.hostname and there.port
    async with await anyio.connect_tcp(there.hostname, there.port) as connection:
        cookie = f"{cookie_name(database)}={database}.{session.secret}"
        request = f"GET /live HTTP/1.1\r\nHost: {there.netloc}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        await connection.send(request.encode())
        opened = Stream(connection)
        await opened.until("event: open")
        yield opened
