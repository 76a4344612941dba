"""MCP clients: where their configuration is, what an entry looks like, and how they load it."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid


@dataclass(frozen=True, slots=True)
class ConfiguredClient:
    """A client program: its configuration file, the entry it understands, and how to make it read the file again."""

    title: str
    file: Callable[[], Path]
    entry: Callable[[list[str]], JsonObject]
    then: str


def _claude_desktop() -> Path:
    """`claude_desktop_config.json`.

    Raises:
        Invalid: the program has no folder in this account.
    """
    folders = _desktop_folders(os.environ)
    for folder in folders:
        if folder.is_dir():
            return folder / "claude_desktop_config.json"
    raise Invalid(
        f"Claude Desktop has not run in this account: there is no folder {folders[0]}. Start it once, then try again."
    )


def _desktop_folders(environment: Mapping[str, str]) -> list[Path]:
    home = _home()
    if sys.platform == "darwin":
        return [home / "Library" / "Application Support" / "Claude"]
    if sys.platform == "win32":
        local = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
        # Installed from the store, it sees a folder of its own in the place of %APPDATA%.
        stored = sorted((local / "Packages").glob("Claude_*/LocalCache/Roaming/Claude"))
        return [*stored, Path(environment.get("APPDATA") or home / "AppData" / "Roaming") / "Claude"]
    return [Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "Claude"]


def _claude_code() -> Path:
    """`.claude.json`, whose `mcpServers` count in every project."""
    # Written rather than handed to `claude mcp add`, which neither shows a difference nor replaces an entry.
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or _home()) / ".claude.json"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise Invalid("You have no home folder here, so there is no client configuration to change.") from None


def _plain(words: list[str]) -> JsonObject:
    return {"command": words[0], "args": words[1:]}


def _typed(words: list[str]) -> JsonObject:
    return {"type": "stdio"} | _plain(words)


CLIENTS: Mapping[str, ConfiguredClient] = {
    "claude-desktop": ConfiguredClient(
        "Claude Desktop",
        _claude_desktop,
        _plain,
        "Quit Claude Desktop and start it again; Settings → Developer then lists {name}.",
    ),
    "claude-code": ConfiguredClient(
        "Claude Code",
        _claude_code,
        _typed,
        "Start a new session of Claude Code; `claude mcp list` then lists {name}.",
    ),
}
