"""A server that withdraws its forms after an instant: `python hasty.py stdio|http DATABASE`."""

import sys
from pathlib import Path

import anyio

from mcp_hitl.cli.os_user import os_user
from mcp_hitl.cli.serve import serve_http
from mcp_hitl.desk import Desk
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.desk_views import views_of
from mcp_hitl.protocols.mcp.callers import always
from mcp_hitl.protocols.mcp.stdio import serve_stdio
from mcp_hitl.server.app import ApprovalServer
from mcp_hitl.store.sqlite import SqliteStore


def _say(address: Origin) -> None:
    print(f"MCP endpoint {address}/mcp", file=sys.stderr, flush=True)


async def main(transport: str, database: Path) -> None:
    """Serve like the real one, with less patience."""
    store = SqliteStore(database)
    async with Desk(store, effects=EFFECTS).open() as desk:
        server = ApprovalServer(
            desk, always(os_user()), views=views_of(desk, inbox="in a test"), key=bytes(32), form_seconds=0.3
        )
        if transport == "stdio":
            await serve_stdio(server)
        else:
            await serve_http(server, "localhost", 0, ready=_say)
    await store.close()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], Path(sys.argv[2]))
