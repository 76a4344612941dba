"""Starting the servers. The only module of the command line that loads the MCP SDK."""

import os

import click

from mcp_hitl import __version__
from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.running import DONE, REFUSED
from mcp_hitl.cli.workspace import Workspace, workspace
from mcp_hitl.config import Settings
from mcp_hitl.domain.errors import Invalid, Unavailable
from mcp_hitl.domain.principal import LOOPBACK as LOOPBACK_CALLER
from mcp_hitl.domain.principal import Principal
from mcp_hitl.server.app import ApprovalServer
from mcp_hitl.server.http import LOOPBACK, serve_http
from mcp_hitl.server.stdio import serve_stdio


async def stdio(settings: Settings) -> int:
    """Serve one client on stdin and stdout, as the operating-system user."""
    async with workspace(settings) as place:
        server = _server(place, place.user)
        async with place.desk.serve():
            ended = await serve_stdio(server)
    if not ended:
        # Everything that was told is committed, and the database is closed.
        os._exit(DONE)
    return DONE


async def http(settings: Settings, host: str, port: int) -> int:
    """Serve any number of clients on a loopback address; without a token, a caller is the requester `local`."""
    if host not in LOOPBACK:
        raise Invalid(
            f"Without sign-in this serves only {', '.join(LOOPBACK)}: on another address anybody could ask and answer."
        )
    async with workspace(settings) as place:
        server = _server(place, LOOPBACK_CALLER)
        async with place.desk.serve():
            started = await serve_http(server, host, port, ready=lambda url: _announce(settings, url))
    return DONE if started else REFUSED


def _server(place: Workspace, caller: Principal) -> ApprovalServer:
    try:
        key = place.settings.key or place.store.shared_key()
    except OSError as error:
        raise Unavailable(f"The key beside the database cannot be used: {error}.") from error
    return ApprovalServer(place.desk, caller, key=key, hurry=place.store.hurry)


def _announce(settings: Settings, url: str) -> None:
    click.echo(
        f"""mcp-hitl {__version__} is listening.

  MCP endpoint     {url}
  Database         {settings.database}

  Claude Code      claude mcp add --transport http approvals {url}
  Inspector        npx @modelcontextprotocol/inspector --cli {url} --transport http --method tools/list
  What is pending  {command_line(settings, "pending")}

Stop with Ctrl-C.""",
        err=True,
    )
