"""The command `migrate`: moves a desk between an SQLite file and a PostgreSQL server."""

import signal

import click

from mcp_hitl.cli.running import DONE, run
from mcp_hitl.config import load
from mcp_hitl.desk.verifying import verify
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.opening import move
from mcp_hitl.store.view import View


@click.command(short_help="Move everything to another database.")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def migrate(source: str, target: str) -> None:
    """Move the desk from the database FROM to TO, which has nothing in it. No server may be running on either.

    Each is the path of a file or a postgresql:// address. The log is verified before and after. FROM keeps its
    contents, and tells whoever opens it where the desk is now. If it is interrupted, run it again.
    """

    async def main() -> int:
        here, there = (load({}, database=name).database for name in (source, target))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # nothing else goes on here that would hear of it
        seq, head = move(here, there, check)
        click.echo(f"{seq} {head}")
        click.echo(
            f"The desk is in {there} now: name that in MCP_HITL_DB or with --db, for every client and server. "
            f"{here} still has every payload in it: keep it private, or delete it.",
            err=True,
        )
        return DONE

    run(main)


def check(view: View) -> None:
    """Refuse to move what does not verify.

    Raises:
        Unavailable: the message says what is wrong.
    """
    found = verify(view, EFFECTS, None)
    if found.wrong is not None:
        raise Unavailable(
            f"The evidence does not verify: {found.wrong}. Nothing was moved. “mcp-hitl audit verify” says the same."
        )
