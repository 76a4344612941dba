"""Builds the commands that we print, so that they run as printed in the reader's shell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from mcp_hitl.config import Settings, default_database

_NAME = "mcp-hitl"
_UV_CACHE = "archive-v0"
"""The folder of uv's cache in which `uvx` unpacks what it runs."""


def command_line(settings: Settings, *arguments: str, here: bool = False) -> str:
    """Return a command for this program, database and policy, quoted for the shell of this platform.

    Set `here` if the reader uses the shell that started this process. Other readers have another PATH and another
    environment, so for them the launcher and the database are spelled out.
    """
    words = _launcher(here=here)
    if not (here and settings.database == default_database()):
        words += ["--db", str(settings.database)]
    if settings.policy is not None:
        words += ["--config", str(settings.policy)]
    words += arguments
    if os.name == "nt":
        return subprocess.list2cmdline(words)
    # Imported late, like all that only a person's output needs.
    import shlex

    return shlex.join(words)


def for_clients(settings: Settings) -> list[str]:
    """Return the words with which another program, without our PATH and environment, starts this one as a server."""
    launcher, *words = _launcher(here=False)
    words = [shutil.which(launcher) or launcher, *words]
    moved = os.name == "posix" and "XDG_DATA_HOME" in os.environ
    if moved or settings.database != default_database():
        words += ["--db", str(settings.database)]
    if settings.policy is not None:
        words += ["--config", str(settings.policy)]
    return words


def _launcher(*, here: bool) -> list[str]:
    """Return how this program was started: by name if the reader's shell finds it, else by path."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return [sys.executable, "-m", "mcp_hitl"]
    if _UV_CACHE in started.resolve().parts:
        return ["uvx", _NAME]  # the path itself lasts no longer than uv's cache
    found = shutil.which(_NAME)
    if here and found is not None and os.path.exists(started) and os.path.samefile(found, started):
        return [_NAME]
    return [os.path.abspath(started)]
