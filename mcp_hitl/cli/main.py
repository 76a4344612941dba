"""The top of the command line: global options and the list of commands."""

import importlib
import os
import shutil
import sys
from typing import Any, TextIO, cast

import click

from mcp_hitl import __version__
from mcp_hitl.cli.running import run
from mcp_hitl.cli.workspace import settings_of

_COMMANDS = {
    "audit": ("audit",),
    "back_up": ("backup", "restore"),
    "completion": ("completion",),
    "decide": ("approve", "cancel", "edit", "lift", "reject"),
    "doctor": ("doctor",),
    "inbox": ("inbox",),
    "install.command": ("install",),
    "migrate": ("migrate",),
    "policy": ("policy",),
    "show": ("pending", "show"),
    "stops": ("pause", "reconcile", "reset-clock", "resume"),
}
"""Modules of this package with the commands in each: a command's module is imported when the command is wanted."""
_MODULES = {name: module for module, names in _COMMANDS.items() for name in names}


class _Group(click.Group):
    """Imports a command when it is wanted.

    It fits help to terminals narrower than click's 50 columns, and keeps to NO_COLOR (https://no-color.org).
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_MODULES})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            # A wrong name wants them all, for click to say which ones are like it.
            for name in (cmd_name,) if cmd_name in _MODULES else _MODULES:
                module = importlib.import_module(f"mcp_hitl.cli.{_MODULES[name]}")
                self.add_command(getattr(module, name.replace("-", "_")))
        return super().get_command(ctx, cmd_name)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> click.Context:
        if (columns := shutil.get_terminal_size().columns) < 52:
            extra["terminal_width"] = max(columns - 2, 20)
        if os.environ.get("NO_COLOR"):
            extra["color"] = False
        return super().make_context(info_name, args, parent, **extra)


@click.group(cls=_Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--db", metavar="PATH", help="The database file (default: $MCP_HITL_DB, then your user data folder).")
@click.option("--config", metavar="PATH", help="The policy file (default: $MCP_HITL_CONFIG, then the built-in kinds).")
@click.version_option(__version__, prog_name="mcp-hitl")
@click.pass_context
def cli(context: click.Context, db: str | None, config: str | None) -> None:
    """The approval desk for AI agents.

    Without a command, it runs the MCP server on stdin and stdout. MCP clients start it this way.
    """
    if context.invoked_subcommand is not None:
        return
    if cast("TextIO | None", sys.stdin) is None:
        raise click.UsageError(
            "Standard input is closed. An MCP client starts this program and talks to it over standard input."
        )
    if sys.stdin.isatty():
        click.echo(context.get_help())
        return

    async def main() -> int:
        # Imported late: the MCP SDK takes longer to load than every other command takes to run.
        from mcp_hitl.cli.serve import stdio

        return await stdio(settings_of(context))

    run(main)


@cli.command(short_help="Serve MCP over HTTP, and the inbox.")
@click.option("--host", default="localhost", show_default=True, help="A loopback address to listen on.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="Use 0 for a free port.")
@click.pass_context
def serve(context: click.Context, host: str, port: int) -> None:
    """Serve MCP over streamable HTTP at /mcp, and the inbox at /."""

    async def main() -> int:
        from mcp_hitl.cli.serve import http

        return await http(settings_of(context), host, port)

    run(main)
