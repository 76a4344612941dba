"""Starts the servers. Only this module of the command line loads the MCP SDK."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio
import click
from starlette.routing import Mount

from mcp_hitl import __version__
from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.lost_database import ending_without, exit_code
from mcp_hitl.cli.running import REFUSED
from mcp_hitl.cli.workspace import Workspace, shared_key, workspace
from mcp_hitl.config import Settings
from mcp_hitl.domain.policy.principal import LOOPBACK
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.process.os_signals import on_signals
from mcp_hitl.process.workers import serve
from mcp_hitl.protocols.http.listener import Listener
from mcp_hitl.protocols.http.loopback import HOSTS
from mcp_hitl.protocols.mcp.callers import Identify, always
from mcp_hitl.protocols.mcp.stdio import serve_stdio
from mcp_hitl.server.app import ApprovalServer
from mcp_hitl.server.endpoint import http_app

if TYPE_CHECKING:
    from mcp_hitl.web.app import Inbox

logger = logging.getLogger(__name__)

_LAST_WORDS_SECONDS = 0.3


async def stdio(settings: Settings) -> int:
    """Serve one client on stdin and stdout as the operating-system user, and the inbox."""
    ended, code = True, REFUSED
    async with workspace(settings) as place:
        server = _server(place, always(place.user))
        async with serve(place.desk), ending_without(place.store), anyio.create_task_group() as tasks:
            tasks.start_soon(_inbox_beside, place)
            ended = await serve_stdio(server)
            tasks.cancel_scope.cancel()
        code = exit_code(place.store)
    if not ended:
        # Everything that was told is committed, and the database is closed.
        os._exit(code)
    return code


async def http(settings: Settings, host: str, port: int) -> int:
    """Serve any number of clients and the inbox on a loopback address. Callers without a token are `local`."""
    if host not in HOSTS:
        raise Invalid(
            f"The host must be one of {', '.join(HOSTS)}: there is no sign-in for MCP, so on another address anybody "
            "could ask and answer."
        )
    from mcp_hitl.web.app import Inbox
    from mcp_hitl.web.host import keep_address
    from mcp_hitl.web.sign_in import link

    started, ended = False, REFUSED
    async with workspace(settings) as place:
        server = _server(place, always(LOOPBACK))
        inbox = Inbox(place.desk, key=shared_key(place), how=how_to_sign_in(settings))
        async with (
            serve(place.desk),
            ending_without(place.store),
            inbox.open(),
            anyio.create_task_group() as tasks,
        ):
            # A terminal is where its person is; a file of a log is not.
            code = await place.desk.inbox.offer_link(place.user) if sys.stderr.isatty() else None

            def ready(address: Origin) -> None:
                tasks.start_soon(partial(keep_address, place.desk, address, free=port == 0))
                _announce(settings, address, None if code is None else link(address, code))

            started = await serve_http(server, host, port, ready=ready, inbox=inbox)
            tasks.cancel_scope.cancel()
        ended = exit_code(place.store)
    return ended if started else REFUSED


async def serve_http(
    server: ApprovalServer, host: str, port: int, *, ready: Callable[[Origin], None], inbox: "Inbox | None" = None
) -> bool:
    """Serve until the process is told to stop. Calls `ready` with the address once it can be reached.

    Returns False if the address could not be taken.
    """
    behind = [] if inbox is None else [Mount("/", app=inbox.app)]
    listener = Listener(http_app(server, HOSTS, behind), host, port, ready=ready)

    def stop() -> None:
        server.stop()
        # Not at once: it cuts event streams off, and what waited is answered on them now.
        asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, listener.stop)

    with on_signals(stop):
        return await listener.run()


def how_to_sign_in(settings: Settings) -> str:
    """Return the command that opens the inbox."""
    return command_line(settings, "inbox")


async def _inbox_beside(place: Workspace) -> None:
    # Imported late: the client's first message is answered before.
    from mcp_hitl.web.app import Inbox
    from mcp_hitl.web.host import host_inbox

    inbox = Inbox(place.desk, key=shared_key(place), how=how_to_sign_in(place.settings))
    try:
        await host_inbox(place.desk, inbox)
    except Exception:
        logger.exception("the inbox cannot be served; the MCP server continues without it")


def _server(place: Workspace, identify: Identify) -> ApprovalServer:
    return ApprovalServer(place.desk, identify, views=place.views, key=shared_key(place), hurry=place.store.hurry)


def _announce(settings: Settings, address: Origin, link: str | None) -> None:
    click.echo(
        f"""mcp-hitl {__version__} is listening.

  MCP endpoint     {address}/mcp
  Inbox            {link or address}
                   {"(this link signs in one browser, once, within ten minutes)" if link else _how(settings)}
  Database         {settings.database}

  Claude Code      claude mcp add --transport http approvals {address}/mcp
  Inspector        npx @modelcontextprotocol/inspector --cli {address}/mcp --transport http --method tools/list
  What is pending  {command_line(settings, "pending")}

Stop with Ctrl-C.""",
        err=True,
    )


def _how(settings: Settings) -> str:
    return f"(to sign in: {how_to_sign_in(settings)})"
