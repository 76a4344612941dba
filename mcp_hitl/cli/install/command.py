"""`install`: adds this server to a client's configuration, after the person has seen the change."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from mcp_hitl.cli import terminal
from mcp_hitl.cli.command_line import command_line, for_clients
from mcp_hitl.cli.running import DONE, NO, run
from mcp_hitl.cli.workspace import settings_of
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Conflict, Invalid, Unavailable
from mcp_hitl.domain.values.text import visible

if TYPE_CHECKING:
    from mcp_hitl.cli.install.clients import ConfiguredClient

_SERVERS = "mcpServers"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_LINE = 300
_BOM = b"\xef\xbb\xbf"


@click.command(short_help="Add this server to an MCP client.")
@click.argument("client", type=click.Choice(("claude-desktop", "claude-code")), metavar="claude-desktop|claude-code")
@click.option("--name", default="approvals", show_default=True, help="The name of this server in the client.")
@click.option("--yes", is_flag=True, help="Make the change without asking.")
@click.pass_context
def install(context: click.Context, client: str, name: str, yes: bool) -> None:
    """Add this server to a client's configuration. You see the change first."""
    if not _NAME.fullmatch(name):
        raise click.UsageError("The name may have letters, digits, '-' and '_', and at most 64 of them.")

    async def main() -> int:
        from mcp_hitl.cli.install.clients import CLIENTS
        from mcp_hitl.cli.whole_files import replace

        settings = settings_of(context)
        chosen = CLIENTS[client]
        file = chosen.file()
        before = _read(file)
        after = _changed(before, file, chosen, name, for_clients(settings))
        if after == before:
            click.echo(
                f"{chosen.title} already has {name} with this configuration. {visible(str(file))} was not changed."
            )
            return DONE
        terminal.say(_difference(before or b"", after, file) + "\n")
        if not yes:
            terminal.require_terminal(
                "You have to confirm this change at a terminal, and there is none here. Nothing was changed. To "
                "confirm it without one, add --yes."
            )
            if not terminal.confirm(f"Make this change to {chosen.title}'s configuration?"):
                terminal.say("Nothing was changed.")
                return NO
        if _read(file) != before:
            raise Conflict(f"{visible(str(file))} was changed meanwhile. Nothing was written. Try again.")
        try:
            backup = replace(file, after)
        except OSError as error:
            raise Unavailable(
                f"{visible(str(file))} cannot be written: {error.strerror}. It was not changed."
            ) from error
        click.echo(f"Added {name} to {chosen.title}, in {visible(str(file))}.")
        if backup is not None:
            click.echo(f"Copy of the old file: {visible(str(backup))}")
        click.echo(f"\n{chosen.then.format(name=name)}")
        click.echo(f"After it has connected, see what it can do here: {command_line(settings, 'doctor', here=True)}")
        return DONE

    run(main)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{visible(str(file))} cannot be read: {error.strerror}.") from error


def _changed(before: bytes | None, file: Path, client: "ConfiguredClient", name: str, words: list[str]) -> bytes:
    """Return the file with our entry added. An existing entry keeps its other members, such as `env`."""
    from mcp_hitl.cli.install.json_members import Document

    content = before or b""
    bom = _BOM if content.startswith(_BOM) else b""
    try:
        document = Document(content.removeprefix(bom).decode(), visible(str(file)))
    except UnicodeDecodeError:
        raise Invalid(f"{visible(str(file))} is not text in UTF-8. It was not changed.") from None
    entry = client.entry(words)
    servers: Any = document.value.get(_SERVERS, {})
    held: Any = servers.get(name) if isinstance(servers, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(held, dict) and "command" in held:
        kept = cast("JsonObject", held)
        entry = kept | entry
        if entry == kept:
            return content
    return bom + document.with_member((_SERVERS, name), entry).encode()


def _difference(before: bytes, after: bytes, file: Path) -> str:
    import difflib

    old, new = (_lines(content) for content in (before, after))
    shown = difflib.unified_diff(old, new, visible(str(file)), f"{visible(str(file))} (new)", lineterm="")
    colours = {"+": "green", "-": "red", "@": "cyan"}
    return "\n".join(
        click.style(visible(line[:1] + line[1:].expandtabs(4)), fg=colours.get(line[:1])) for line in shown
    )


def _lines(content: bytes) -> list[str]:
    """Return the lines to compare. A file that is one long line is reformatted first."""
    text = content.decode("utf-8-sig")
    if any(len(line) > _LONGEST_LINE for line in text.split("\n")):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
