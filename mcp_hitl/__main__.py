"""`mcp-hitl` and `python -m mcp_hitl`."""

from mcp_hitl.cli.main import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="mcp-hitl")


if __name__ == "__main__":
    main()
