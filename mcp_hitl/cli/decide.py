"""Commands to decide at the terminal: `approve`, `reject`, `edit`, `cancel`, `lift`."""

from collections.abc import Awaitable, Callable
from typing import BinaryIO

import click

from mcp_hitl.cli import terminal
from mcp_hitl.cli.running import DONE, NO, print_json, run
from mcp_hitl.cli.workspace import Workspace, settings_of, workspace
from mcp_hitl.desk.transactions.decide import checked_comment
from mcp_hitl.desk.transactions.log_entries import check_open
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.assurances import AT_TERMINAL
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.values.text import visible
from mcp_hitl.present.approval_views import review
from mcp_hitl.present.differences import revision_wanted

_ID = click.argument("approval_id", metavar="ID")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the approval as JSON.")
_YES = click.option("--yes", is_flag=True, help="Decide without a prompt. The policy must allow it: unattended = true.")


@click.command(short_help="Approve a request, after you have read it.")
@_ID
@click.option("--comment", help="A comment to record with the approval.")
@_YES
@_JSON
@click.pass_context
def approve(context: click.Context, approval_id: str, comment: str | None, yes: bool, as_json: bool) -> None:
    """Approve a request. You read all of it and fill in its form first."""
    run(lambda: _decide(context, approval_id, Verdict.APPROVE, comment, yes, as_json), as_json=as_json)


@click.command(short_help="Reject a request, after you have read it.")
@_ID
@click.option("--reason", required=True, help="Why you reject it. The agent will see this.")
@_YES
@_JSON
@click.pass_context
def reject(context: click.Context, approval_id: str, reason: str, yes: bool, as_json: bool) -> None:
    """Reject a request. You read all of it first."""
    if not reason.strip():
        raise click.UsageError("Give a reason with --reason. The agent will see it.")
    run(lambda: _decide(context, approval_id, Verdict.REJECT, reason, yes, as_json), as_json=as_json)


@click.command(short_help="Change what a request asks for.")
@_ID
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A field and its new value, as JSON or text. You can repeat this option.",
)
@click.option("--payload", type=click.File("rb"), help="A file with the whole new payload as JSON.")
@click.option("--comment", help="Why you change it. The requester will see this.")
@_JSON
@click.pass_context
def edit(
    context: click.Context,
    approval_id: str,
    changes: tuple[str, ...],
    payload: BinaryIO | None,
    comment: str | None,
    as_json: bool,
) -> None:
    """Change what a request asks for. You see the difference first, and the request must then be decided again.

    Without options, the payload opens in your editor.
    """

    async def act(place: Workspace) -> Seen | None:
        terminal.require_terminal()
        checked_comment(comment)
        approval = await place.desk.approvals.get(place.user, approval_id, deciding=AT_TERMINAL)
        check_open(approval, place.desk.clock())
        wanted = terminal.revise(approval.payload, changes, payload.read() if payload else None)
        if wanted is None:
            return None
        place.desk.approvals.admit(approval.kind, wanted)
        change = revision_wanted(approval.payload, wanted)
        earlier = await place.desk.approvals.earlier(place.user, approval)
        terminal.say(f"{review(approval, place.desk.clock(), earlier)}\n\nYour change:\n\n{change}\n", folds=True)
        if not terminal.confirm("Make this change?"):
            return None
        return await place.desk.approvals.edit(
            place.user, Shown.of(approval), wanted, assurance=AT_TERMINAL, comment=comment
        )

    run(lambda: _act(context, act, as_json), as_json=as_json)


@click.command(short_help="Cancel your own pending request.")
@_ID
@click.option("--reason", help="Why you cancel it.")
@_JSON
@click.pass_context
def cancel(context: click.Context, approval_id: str, reason: str | None, as_json: bool) -> None:
    """Cancel a pending request that you made. To stop somebody else's request, reject it."""

    async def act(place: Workspace) -> Seen:
        return await place.desk.approvals.cancel(place.user, approval_id, reason)

    run(lambda: _act(context, act, as_json), as_json=as_json)


@click.command(short_help="Let a rejected request be made again early.")
@_ID
@_JSON
@click.pass_context
def lift(context: click.Context, approval_id: str, as_json: bool) -> None:
    """Allow a rejected request to be made again before its cooldown ends."""

    async def act(place: Workspace) -> Seen | None:
        terminal.require_terminal()
        approval = await place.desk.approvals.get(place.user, approval_id)
        terminal.say(review(approval, place.desk.clock()), folds=True)
        if not terminal.confirm("\nAllow this to be requested again now?"):
            return None
        return await place.desk.decisions.lift_cooldown(place.user, approval_id, assurance=AT_TERMINAL)

    run(lambda: _act(context, act, as_json), as_json=as_json)


async def _decide(
    context: click.Context, approval_id: str, verdict: Verdict, comment: str | None, yes: bool, as_json: bool
) -> int:
    async def act(place: Workspace) -> Seen | None:
        checked_comment(comment)
        approval = await place.desk.approvals.get(place.user, approval_id, deciding=None if yes else AT_TERMINAL)
        now = place.desk.clock()
        check_open(approval, place.desk.clock())
        answer = None
        if not yes:
            terminal.require_terminal()
            earlier = await place.desk.approvals.earlier(place.user, approval)
            terminal.say(review(approval, now, earlier) + "\n", folds=True)
            answer = terminal.fill_in(approval) if verdict is Verdict.APPROVE else None
            if not terminal.confirm(f"{verdict.value.capitalize()} this?"):
                return None
        return await place.desk.decisions.decide(
            place.user,
            Shown.of(approval, at=None if yes else now),
            verdict,
            assurance=Assurance.NONE if yes else AT_TERMINAL,
            comment=comment,
            answer=answer,
        )

    return await _act(context, act, as_json)


async def _act(context: click.Context, act: Callable[[Workspace], Awaitable[Seen | None]], as_json: bool) -> int:
    """Run `act` and print the approval's status. `act` returns None if the person said no."""
    async with workspace(settings_of(context)) as place:
        approval = await act(place)
        if approval is None:
            terminal.say("Nothing was changed.")
            return NO
        if as_json:
            print_json(place.views.shape(approval))
        else:
            status = approval.seen_at(place.desk.clock()).value
            terminal.tell(f"{approval.id} is {status}: {visible(approval.title)}", folds=True)
    return DONE
