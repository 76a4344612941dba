"""Commands that only read: `pending` and `show`."""

import json
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime

import click

from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.running import DONE, print_json, run
from mcp_hitl.cli.terminal import tell
from mcp_hitl.cli.widths import cut, width
from mcp_hitl.cli.workspace import Workspace, settings_of, workspace
from mcp_hitl.desk import Page
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState, Status
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.values.instants import in_words
from mcp_hitl.domain.values.text import as_name, one_line, quoted, visible
from mcp_hitl.present.approval_views import requester_in_words, review

_TITLE = 5
_LEAST_TITLE = 20
_KEPT = ((0, 1, 2, 3, 4), (0, 1, 3, 4), (0, 3, 4), (0, 4), (0,))
"""The columns beside the title, for ever narrower terminals."""


@click.command(short_help="List the pending requests, oldest first.")
@click.option("--kind", help="Show only this kind.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 100), help="Show at most this many requests."
)
@click.option("--cursor", help="The cursor that the previous page printed.")
@click.option("--json", "as_json", is_flag=True, help="Print what the tool list-pending returns.")
@click.pass_context
def pending(context: click.Context, kind: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the requests that wait for a decision, oldest first."""

    async def main() -> int:
        async with workspace(settings_of(context), reading=True) as place:
            page = await place.desk.search.pending(place.user, kind=kind, limit=limit, cursor=cursor)
            if as_json:
                print_json(place.views.page_shape(page))
            else:
                _print_page(place, page)
        return DONE

    run(main, as_json=as_json)


@click.command(short_help="Show one approval in full.")
@click.argument("approval_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print what the tool get-approval returns.")
@click.pass_context
def show(context: click.Context, approval_id: str, as_json: bool) -> None:
    """Show one approval in full."""

    async def main() -> int:
        async with workspace(settings_of(context), reading=True) as place:
            deciding = Assurance.LOCAL if sys.stdout.isatty() and not as_json else None
            approval = await place.desk.approvals.get(place.user, approval_id, deciding=deciding)
            if as_json:
                print_json(place.views.shape(approval))
            else:
                earlier = await place.desk.approvals.earlier(place.user, approval)
                waits = approval.seen_at(place.desk.clock()) is Status.PENDING
                tell(review(approval, place.desk.clock(), earlier), folds=True)
                tell("\n" + _standing(place, approval), folds=not waits)
        return DONE

    run(main, as_json=as_json)


def _print_page(place: Workspace, page: Page) -> None:
    for line in page.unreadable:
        click.echo(line)
    if not page.approvals:
        tell("Nothing else is pending." if page.unreadable else "Nothing is pending.")
        return
    for line in _table(page.approvals, place.desk.clock(), shutil.get_terminal_size((160, 40)).columns):
        tell(line)
    settings = place.settings
    count = f"{page.total:,} or more" if page.total_capped else f"{page.total:,}"
    tell(f"\n{count} pending. Look at one: {command_line(settings, 'show', page.approvals[0].id, here=True)}")
    if page.next_cursor is not None:
        tell(f"More: {command_line(settings, 'pending', '--cursor', page.next_cursor, here=True)}")


def _table(approvals: Sequence[Approval], now: datetime, columns: int) -> list[str]:
    """Return the lines of the list. Where it would get too wide, columns give way to the title."""
    rows = [("ID", "KIND", "ASKED BY", "WAITING", "EXPIRES IN", "TITLE")]
    rows += [
        (
            approval.id,
            one_line(approval.kind, 20),
            one_line(requester_in_words(approval.requester), 24),
            in_words(now - approval.requested_at),
            in_words(approval.expires_at - now),
            visible(approval.title),
        )
        for approval in approvals
    ]
    widths = [max(width(row[column]) for row in rows) for column in range(_TITLE)]
    for kept in _KEPT:
        room = columns - sum(widths[column] + 2 for column in kept)
        if room >= _LEAST_TITLE:
            break
    else:
        return [line for row in rows[1:] for line in (cut(row[_TITLE], columns), row[0])]
    return [
        "  ".join(
            [
                *(row[column] + " " * (widths[column] - width(row[column])) for column in kept),
                cut(row[_TITLE], room),
            ]
        )
        for row in rows
    ]


def _standing(place: Workspace, approval: Approval) -> str:
    """Return the approval's status and, for a person, the commands that decide it. Not for models."""
    settings = place.settings
    if approval.seen_at(place.desk.clock()) is Status.PENDING:
        if not sys.stdout.isatty():
            # Where a model may read along, no text hands it a deciding command (THREATS T17).
            return "Pending. A person decides it at a terminal."
        return (
            "Pending. Decide with\n"
            f"    {command_line(settings, 'approve', approval.id, here=True)}\n"
            f"    {command_line(settings, 'reject', approval.id, '--reason', 'why not', here=True)}"
        )
    lines = [f"{approval.seen_at(place.desk.clock()).value.capitalize()}."]
    lines += [
        f"{visible(decision.approver)}: {decision.verdict.value} (assurance {decision.assured})"
        + (f", {quoted(decision.comment, 500)}" if decision.comment else "")
        for decision in approval.decisions_in_force
    ]
    lines += [f"{as_name(name)}: {one_line(str(value), 500)}" for name, value in (approval.answer or {}).items()]
    if approval.reason:
        lines.append(f"Reason: {quoted(approval.reason, 500)}")
    if approval.outcome.state is not OutcomeState.NONE:
        found = approval.outcome.error or json.dumps(approval.outcome.result, ensure_ascii=False)
        lines.append(f"Outcome: {approval.outcome.state.value}, {one_line(found, 500)}")
    return "\n".join(lines)
