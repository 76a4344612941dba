"""`mcp-hitl` and `python -m mcp_hitl`."""

import io
import os
import sys
from typing import cast

from mcp_hitl.cli.main import cli


def main() -> None:
    """Run the command line; what the output's encoding cannot say is escaped (a pipe on Windows, an old locale)."""
    _occupy_standard_descriptors()
    stdout = cast("io.TextIOWrapper | None", sys.stdout)
    if stdout is not None:
        stdout.reconfigure(errors="backslashreplace")
    cli(prog_name="mcp-hitl")


def _occupy_standard_descriptors() -> None:
    """Where we were started with one closed, the next file would take its number: the database, and then its output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    main()
