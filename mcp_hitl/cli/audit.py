"""Commands for an auditor: `audit list`, `head`, `verify`, `export`, `erase`."""

from pathlib import Path
from typing import BinaryIO

import click

from mcp_hitl.cli import terminal
from mcp_hitl.cli.running import DONE, NO, print_json, run
from mcp_hitl.cli.whole_files import created
from mcp_hitl.cli.workspace import settings_of, workspace
from mcp_hitl.domain.evidence.chain import Recorded
from mcp_hitl.domain.evidence.ledger import Broken
from mcp_hitl.domain.values.durations import duration
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.domain.values.text import in_order, visible

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_EXPECT = click.option("--expect", metavar="HASH", help="A head that you kept elsewhere. It must be in the chain.")


@click.group(short_help="Read, verify, export and erase the log.")
def audit() -> None:
    """Read the audit log, verify it, export it, and erase old contents."""


@audit.command("list", short_help="Print the log, or one approval's entries.")
@click.argument("approval_id", metavar="[ID]", required=False)
@_JSON
@click.pass_context
def list_entries(context: click.Context, approval_id: str | None, as_json: bool) -> None:
    """Print all entries of the log, or those of one approval."""

    async def main() -> int:
        async with workspace(settings_of(context), reading=True) as place:
            if approval_id is None:
                entries, verified = await place.desk.evidence.entries(), None
            else:
                trail = await place.desk.approvals.trail(place.user, approval_id)
                entries, verified = trail.entries, trail.verified
            told = [recorded.as_json() for recorded in entries]
            if as_json:
                print_json(told if approval_id is None else {"entries": told, "verified": verified})
            else:
                for recorded in entries:
                    click.echo(in_order(_line(recorded)))
        return DONE

    run(main, as_json=as_json)


@audit.command(short_help="Print the newest entry's number and hash.")
@_JSON
@click.pass_context
def head(context: click.Context, as_json: bool) -> None:
    """Print the newest entry's number and hash. Keep them elsewhere, for `verify --expect`."""

    async def main() -> int:
        async with workspace(settings_of(context), reading=True) as place:
            seq, found = await place.desk.evidence.head()
        if as_json:
            print_json({"entries": seq, "head": found})
        else:
            click.echo(f"{seq} {found}")
        return DONE

    run(main, as_json=as_json)


@audit.command(short_help="Check the log, or an exported file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@_EXPECT
@_JSON
@click.pass_context
def verify(context: click.Context, file: Path | None, expect: str | None, as_json: bool) -> None:
    """Check the log and compare everything stored with it. With FILE, check only that exported file."""

    async def main() -> int:
        from mcp_hitl.desk.exports import verify_export
        from mcp_hitl.desk.verifying import Finding

        if file is None:
            async with workspace(settings_of(context), reading=True) as place:
                finding = await place.desk.evidence.verify(expect=expect)
        else:
            try:
                with file.open(encoding="utf-8") as lines:
                    finding = verify_export(iter(lines), expect=expect)
            except Broken as broken:
                finding = Finding(0, "", str(broken))
            except (OSError, UnicodeDecodeError) as error:
                raise Invalid(f"{file} cannot be read: {error}.") from error
        if as_json:
            told = {"entries": finding.entries, "head": finding.head, "wrong": finding.wrong}
            print_json(told if finding.unchecked is None else told | {"unchecked": finding.unchecked})
        elif finding.wrong is None:
            click.echo(f"{finding.entries:,} entries, unbroken. Head: {finding.head}")
            if finding.unchecked is not None:
                click.echo(finding.unchecked)
        else:
            click.echo(f"Broken: {visible(finding.wrong)}.")
        return DONE if finding.wrong is None else NO

    run(main, as_json=as_json)


@audit.command(short_help="Write the log to a file as JSON Lines.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--redact", is_flag=True, help="Leave out all contents. The digests stay, so the file still verifies.")
@click.pass_context
def export(context: click.Context, file: Path, redact: bool) -> None:
    """Write the log to FILE as JSON Lines. FILE must not exist yet. It can be verified without this database."""

    async def main() -> int:
        async with workspace(settings_of(context), reading=True) as place:
            try:
                # Theirs alone, like the database: it has every payload in it.
                with created(file) as out:
                    count = await place.desk.evidence.export(lambda line: _write_line(out, line), redact=redact)
            except FileExistsError:
                raise Invalid(f"{file} exists already. Name a file that does not exist yet.") from None
            except OSError as error:
                raise Invalid(f"{file} cannot be written: {error.strerror}. Nothing was left of it.") from error
        click.echo(f"{count:,} entries written to {file}.", err=True)
        return DONE

    run(main)


@audit.command(short_help="Erase the contents of old approvals.")
@click.option(
    "--older-than", required=True, metavar="TIME", help='How long ago they were resolved, such as "365 days".'
)
@click.pass_context
def erase(context: click.Context, older_than: str) -> None:
    """Erase the payloads, comments and answers of old approvals. The log stays and still verifies.

    The database's files keep no trace of them. If another process is reading the database, the last traces go with the
    next erase.
    """

    async def main() -> int:
        try:
            span = duration(older_than)
        except Invalid as mistake:
            raise Invalid(f"--older-than {mistake}.") from None
        terminal.require_terminal()
        async with workspace(settings_of(context)) as place:
            if not terminal.confirm(
                f"Erase the contents of everything resolved more than {older_than} ago? This cannot be undone."
            ):
                terminal.say("Nothing was changed.")
                return NO
            count = await place.desk.evidence.erase(place.user, older_than=span)
        click.echo(f"{count:,} approvals erased.")
        return DONE

    run(main)


def _write_line(out: BinaryIO, line: str) -> None:
    out.write(line.encode() + b"\n")


def _line(recorded: Recorded) -> str:
    entry = recorded.entry
    sure = f" (assurance {entry.assurance.value})" if entry.assurance else ""
    about = f" {entry.approval}" if entry.approval else ""
    return f"{recorded.seq} {rfc3339(entry.at)} {entry.event.value}{about} by {visible(entry.actor)}{sure}"
