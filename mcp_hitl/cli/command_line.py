"""Commands as we print them: they run as printed in the reader's shell, launcher and database included."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from mcp_hitl.config import default_database

_NAME = "mcp-hitl"


def command_line(database: Path, *arguments: str) -> str:
    """A command on this very program and `database`, quoted for the shell of this platform."""
    words = [*_launcher(), *([] if database == default_database() else ["--db", str(database)]), *arguments]
    if os.name == "nt":
        return subprocess.list2cmdline(words)
    # Imported late, like all that only a person's output needs.
    import shlex

    return shlex.join(words)


def _launcher() -> list[str]:
    """How this program was started: by its name where the shell finds that, else by its path."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return [sys.executable, "-m", "mcp_hitl"]
    found = shutil.which(_NAME)
    if found is not None and os.path.exists(started) and os.path.samefile(found, started):
        return [_NAME]
    return [os.path.abspath(started)]
