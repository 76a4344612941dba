"""`doctor`: what is unsafe here, what it allows, and the line that mends it; and what the clients could do."""

import click

from mcp_hitl.cli.running import DONE, NO, print_json, run
from mcp_hitl.cli.workspace import settings_of


@click.command(short_help="List what is unsafe here and how to fix it.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings for programs.")
@click.option(
    "--accept", multiple=True, metavar="CODE", help="A finding that you accept: it is told, and counts no more."
)
@click.pass_context
def doctor(context: click.Context, as_json: bool, accept: tuple[str, ...]) -> None:
    """Say what is unsafe here and how to mend it; exits with 1 if anything is.

    Nothing is changed, and a database that is not there is not made.
    """

    async def main() -> int:
        # Imported late: no other command needs any of it.
        from mcp_hitl.cli import report
        from mcp_hitl.cli.examining import examined

        found = examined(settings_of(context), frozenset(accept))
        if as_json:
            print_json(report.shape(found))
        else:
            report.show(found)
        return NO if found.unsafe else DONE

    run(main, as_json=as_json)
