"""`doctor`: lists what is unsafe here, the risk, the fix, and what each client can do."""

from functools import partial

import click

from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.os_user import os_user
from mcp_hitl.cli.running import DONE, NO, print_json, run
from mcp_hitl.cli.workspace import settings_of


@click.command(short_help="List what is unsafe here and how to fix it.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--accept",
    multiple=True,
    metavar="CODE",
    help="Accept a finding: it is listed, but no longer counts as unsafe. You can repeat this option.",
)
@click.pass_context
def doctor(context: click.Context, as_json: bool, accept: tuple[str, ...]) -> None:
    """List what is unsafe here and how to fix it. The exit code is 1 if anything is unsafe.

    It changes nothing, and does not create a missing database.
    """

    async def main() -> int:
        # Imported late: no other command needs any of it.
        from mcp_hitl.doctor import report
        from mcp_hitl.doctor.gather import examined

        settings = settings_of(context)
        command = partial(command_line, settings, here=True)
        found = examined(settings, frozenset(accept), user=os_user(), command=command)
        if as_json:
            print_json(report.shape(found))
        else:
            report.show(found)
        return NO if found.unsafe else DONE

    run(main, as_json=as_json)
