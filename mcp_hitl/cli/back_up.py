"""The commands `backup` and `restore`: a copy of the running database, and putting one back."""

from pathlib import Path

import anyio
import anyio.to_thread
import click

from mcp_hitl.cli import terminal
from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.os_user import os_user
from mcp_hitl.cli.running import DONE, NO, run
from mcp_hitl.cli.workspace import settings_of, workspace
from mcp_hitl.config import Settings
from mcp_hitl.desk.timekeeping import told_by
from mcp_hitl.desk.transactions.restore import restored
from mcp_hitl.store.opening import back_up, put_back

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Copy the database while it is in use.")
@click.argument("file", type=_FILE)
@click.pass_context
def backup(context: click.Context, file: Path) -> None:
    """Write a consistent copy of the database to FILE, which must not exist yet. Servers may go on.

    It prints the copy's number of entries and their newest hash. Keep both on another machine.
    """

    async def main() -> int:
        settings = settings_of(context)
        async with workspace(settings):
            seq, head = await anyio.to_thread.run_sync(back_up, settings.database, file)
        click.echo(f"{seq} {head}")
        click.echo(f"Copied to {file}. It has every payload in it: keep it private.", err=True)
        return DONE

    run(main)


@click.command(short_help="Put a copy back, or confirm one that was.")
@click.argument("file", type=_FILE, required=False)
@click.option("--confirm", "confirmed", is_flag=True, help="Let what was put back be used. Give no FILE.")
@click.pass_context
def restore(context: click.Context, file: Path | None, confirmed: bool) -> None:
    """Put the copy FILE in the place of the database. No server may be running on it.

    The copy does not know what was used since it was made. So nothing is decided, redeemed or run until you confirm
    with --confirm, after you have looked. The same holds if an older copy was put back in another way.
    """
    if (file is None) != confirmed:
        raise click.UsageError("Give FILE to put a copy back, or --confirm to let it be used.")

    async def main() -> int:
        terminal.require_terminal()
        settings = settings_of(context)
        return await (_confirm(settings) if file is None else _restore(settings, file))

    run(main)


async def _restore(settings: Settings, file: Path) -> int:
    if not terminal.confirm(f"Replace {settings.database} by {file}? What is only in the database is lost."):
        terminal.say("Nothing was changed.")
        return NO
    _, aside = put_back(settings.database, file, lambda tx: restored(tx, os_user(), told_by(None)))
    if aside is not None:
        terminal.say(f"The damaged file that was there is now {aside}.")
    async with workspace(settings) as place:
        found = await place.desk.evidence.verify()
    click.echo(f"{file} was put back: {found.entries:,} entries, {found.wrong or 'intact'}.")
    confirming = command_line(settings, "restore", "--confirm", here=True)
    terminal.say(
        "Nothing is decided, redeemed or run until you confirm it. First find out what was used since the copy was "
        f"made: it could be used again. Reject or settle that; then run:\n\n  {confirming}"
    )
    return DONE


async def _confirm(settings: Settings) -> int:
    async with workspace(settings) as place:
        known = await place.desk.copies.older()
        if known is None:
            click.echo("No older copy was put back, so there is nothing to confirm.")
            return DONE
        seq, _ = await place.desk.evidence.head()
        terminal.say(
            f"An older copy of this database was put back. Its log has {seq:,} entries now"
            + (f"; before, it had at least {known:,}." if known else ".")
            + " What was used in between could be used again."
        )
        if not terminal.confirm("Let everything that is approved in it be used?"):
            terminal.say("Nothing was changed.")
            return NO
        await place.desk.copies.confirm(place.user)
    click.echo("Confirmed. Everybody has to sign in to the inbox anew.")
    return DONE
