"""`mcp-hitl` and `python -m mcp_hitl`."""

import io
import sys
from typing import cast

from mcp_hitl.cli.main import cli


def main() -> None:
    """Run the command line; what the output's encoding cannot say is escaped (a pipe on Windows, an old locale)."""
    cast("io.TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")
    cli(prog_name="mcp-hitl")


if __name__ == "__main__":
    main()
