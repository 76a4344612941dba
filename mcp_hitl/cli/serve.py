"""Starts the servers. Only this module of the command line loads the MCP SDK."""

import asyncio
import errno
import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

import anyio
import click
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from mcp_hitl import __version__
from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.lost_database import ending_without, exit_code
from mcp_hitl.cli.running import REFUSED
from mcp_hitl.cli.workspace import Workspace, shared_key, workspace
from mcp_hitl.config import Settings
from mcp_hitl.config.policy_source import PolicySource
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

logger = logging.getLogger(__name__)

_LAST_WORDS_SECONDS = 0.3


async def stdio(settings: Settings) -> int:
    """Serve one client on stdin and stdout as the operating-system user, and the inbox."""
    ended, code = True, REFUSED
    async with workspace(settings) as place:
        server = _server(place, always(place.user))
        async with (
            serve(place.desk, policy=PolicySource(place.settings)),
            ending_without(place.store),
            anyio.create_task_group() as tasks,
        ):
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
    started, ended = False, REFUSED
    async with workspace(settings) as place:
        if port:
            await place.desk.inbox.spend_port(port)
        server = _server(place, always(LOOPBACK))
        async with (
            serve(place.desk, policy=PolicySource(place.settings)),
            ending_without(place.store),
            anyio.create_task_group() as tasks,
        ):

            def ready(endpoint: Origin) -> None:
                words = _Words(place, endpoint, tasks)
                tasks.start_soon(partial(_inbox_beside, place, ready=words.here, elsewhere=words.elsewhere))

            started = await serve_http(server, host, port, ready=ready, routes=[_way_to_the_inbox(place)])
            tasks.cancel_scope.cancel()
        ended = exit_code(place.store)
    return ended if started else REFUSED


async def serve_http(
    server: ApprovalServer, host: str, port: int, *, ready: Callable[[Origin], None], routes: Sequence[BaseRoute] = ()
) -> bool:
    """Serve until the process is told to stop. Calls `ready` with the address once it can be reached.

    Returns False if the address could not be taken.
    """
    listener = Listener(http_app(server, HOSTS, routes), host, port, ready=ready)

    def stop() -> None:
        server.stop()
        # Not at once: it cuts event streams off, and what waited is answered on them now.
        asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, listener.stop)

    with on_signals(stop):
        served = await listener.run()
    if listener.refusal:
        click.echo(f"mcp-hitl: {_why_not(listener.refusal, host, port)}", err=True)
    return served


def _why_not(error: OSError, host: str, port: int) -> str:
    """Say why nobody can listen there, and what to do."""
    if error.errno == errno.EADDRINUSE and port == 0:
        return "No port of this machine is free, so nothing is served. End programs that hold ports, and try again."
    if error.errno == errno.EADDRINUSE:
        why = f"Port {port} is taken by another program"
    elif error.errno == errno.EACCES:
        why = f"Your account may not use port {port}"
    else:
        why = f"Port {port} of {host} cannot be used ({error.strerror})"
    return f"{why}, so nothing is served. Choose another port with --port; 0 takes a free one."


def how_to_sign_in(settings: Settings) -> str:
    """Return the command that opens the inbox."""
    return command_line(settings, "inbox")


async def _inbox_beside(
    place: Workspace,
    *,
    ready: Callable[[Origin], None] = lambda address: None,
    elsewhere: Callable[[Origin | None], None] = lambda address: None,
) -> None:
    # Imported late: the client's first message is answered before.
    from mcp_hitl.web.app import Inbox
    from mcp_hitl.web.host import host_inbox

    inbox = Inbox(place.desk, key=shared_key(place), how=how_to_sign_in(place.settings))
    try:
        await host_inbox(place.desk, inbox, ready=ready, elsewhere=elsewhere)
    except Exception:
        logger.exception("the inbox cannot be served; the MCP server continues without it")


def _way_to_the_inbox(place: Workspace) -> Route:
    """Return the route from our own address to the inbox, which has a port of its own.

    Ours may be one that somebody chose. Whoever has had it while we did not run could stand between a browser and the
    pages there ever after (THREATS T30).
    """

    async def go(request: Request) -> Response:
        address = await place.desk.inbox.find_inbox()
        if address is None:
            return PlainTextResponse("Nobody serves the inbox now. Load this again in a moment.", status_code=503)
        return RedirectResponse(str(address), headers={"cache-control": "no-store", "referrer-policy": "no-referrer"})

    return Route("/", go)


def _server(place: Workspace, identify: Identify) -> ApprovalServer:
    gc.freeze()  # what is loaded by now stays, so the collector need not look through all of it again and again
    return ApprovalServer(place.desk, identify, views=place.views, key=shared_key(place), hurry=place.store.hurry)


class _Words:
    """What `serve` tells the person at its terminal: where everything is, and where the inbox has gone since."""

    def __init__(self, place: Workspace, endpoint: Origin, tasks: TaskGroup) -> None:
        self._place = place
        self._endpoint = endpoint
        self._tasks = tasks
        self._told = False
        self._last: Origin | None = None

    def here(self, address: Origin) -> None:
        """We serve the inbox there."""
        # A terminal is where its person is; a file of a log is not.
        if self._told or not sys.stderr.isatty():
            self.elsewhere(address)
        else:
            self._told, self._last = True, address
            self._tasks.start_soon(self._announce_with_a_link, address)

    def elsewhere(self, address: Origin | None) -> None:
        """Another process serves it there, or is about to."""
        settings = self._place.settings
        if not self._told:
            where = address or "another process is about to serve it"
            _announce(settings, self._endpoint, str(where), _how(settings))
        elif address not in {None, self._last}:
            click.echo(f"The inbox is at {address} now {_how(settings)}.", err=True)
        self._told, self._last = True, address or self._last

    async def _announce_with_a_link(self, address: Origin) -> None:
        from mcp_hitl.web.sign_in import link

        code = await self._place.desk.inbox.offer_link(self._place.user)
        how = "(this link signs in one browser, once, within ten minutes)"
        _announce(self._place.settings, self._endpoint, link(address, code), how)


def _announce(settings: Settings, address: Origin, inbox: str, how: str) -> None:
    click.echo(
        f"""mcp-hitl {__version__} is listening.

  MCP endpoint     {address}/mcp
  Inbox            {inbox}
                   {how}
  Database         {settings.database}

  Claude Code      claude mcp add --transport http approvals {address}/mcp
  Inspector        npx @modelcontextprotocol/inspector --cli {address}/mcp --transport http --method tools/list
  What is pending  {command_line(settings, "pending")}

Stop with Ctrl-C.""",
        err=True,
    )


def _how(settings: Settings) -> str:
    return f"(to sign in: {how_to_sign_in(settings)})"
