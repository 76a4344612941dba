"""Commands for operators: `pause`, `resume`, `reset-clock`, `reconcile`."""

import click

from mcp_hitl.cli import terminal
from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.running import DONE, NO, print_json, run
from mcp_hitl.cli.workspace import settings_of, workspace
from mcp_hitl.domain.policy.assurances import AT_TERMINAL
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.present.approval_views import review

_KIND = click.option("--kind", help="Apply to this kind only.")


@click.command(short_help="Stop all decisions and runs.")
@_KIND
@click.pass_context
def pause(context: click.Context, kind: str | None) -> None:
    """Stop everything in an emergency. Agents can still ask, but nothing is decided, redeemed or run."""

    async def main() -> int:
        async with workspace(settings_of(context)) as place:
            stopped = await place.desk.stops.pause(place.user, kind)
        click.echo(f"{_named(kind)} {'is' if stopped else 'was already'} stopped.")
        return DONE

    run(main)


@click.command(short_help="End a stop made by pause.")
@_KIND
@click.pass_context
def resume(context: click.Context, kind: str | None) -> None:
    """End an emergency stop made by `pause`."""

    async def main() -> int:
        terminal.require_terminal()
        async with workspace(settings_of(context)) as place:
            if not terminal.confirm(f"Resume {f'the kind {kind}' if kind else 'everything'}?"):
                terminal.say("Nothing was changed.")
                return NO
            resumed = await place.desk.stops.resume(place.user, kind)
            left = [stop.kind for stop in await place.desk.stops.paused() if kind is None or stop.kind is None]
        if not left:
            click.echo("Resumed." if resumed else "It was not paused.")
            return DONE
        click.echo("Resumed. Still paused:" if resumed else "That was not paused. Paused:")
        for one in left:
            words = ("resume",) if one is None else ("resume", "--kind", one)
            again = command_line(settings_of(context), *words, here=True)
            click.echo(f"{_named(one)} is still stopped. To resume: {again}")
        return DONE

    run(main)


def _named(kind: str | None) -> str:
    return f"The kind {kind}" if kind else "Everything"


@click.command("reset-clock", short_help="Trust the clock again after it ran ahead.")
@click.pass_context
def reset_clock(context: click.Context) -> None:
    """Trust this computer's clock again after it ran far ahead and was corrected, or leapt ahead and is right now."""

    async def main() -> int:
        terminal.require_terminal()
        async with workspace(settings_of(context)) as place:
            now = rfc3339(place.desk.clock.wall())
            if not terminal.confirm(f"Is it {now} (UTC)? If yes, later timestamps in the log are treated as wrong."):
                terminal.say("Nothing was changed.")
                return NO
            was = await place.desk.stops.reset_clock(place.user)
        click.echo(f"The latest time on record was {rfc3339(was)}. The clock is trusted again.")
        return DONE

    run(main)


@click.command(short_help="Record whether an unknown outcome succeeded.")
@click.argument("approval_id", metavar="ID")
@click.option("--succeeded/--failed", "succeeded", default=None, help="What you found out. Give one of the two.")
@click.option("--json", "as_json", is_flag=True, help="Print the approval as JSON.")
@click.pass_context
def reconcile(context: click.Context, approval_id: str, succeeded: bool | None, as_json: bool) -> None:
    """Record whether an approved action with an unknown outcome succeeded, after you have checked."""
    if succeeded is None:  # which click takes for an answer, also where one is required
        raise click.UsageError("Give --succeeded or --failed, depending on what you found out.")

    async def main() -> int:
        terminal.require_terminal()
        async with workspace(settings_of(context)) as place:
            approval = await place.desk.approvals.get(place.user, approval_id)
            terminal.say(review(approval, place.desk.clock()), folds=True)
            if not terminal.confirm(
                f"\nRecord that this {'succeeded' if succeeded else 'failed'}? You cannot change it later."
            ):
                terminal.say("Nothing was changed.")
                return NO
            approval = await place.desk.decisions.reconcile(place.user, approval_id, succeeded, assurance=AT_TERMINAL)
            if as_json:
                print_json(place.views.shape(approval))
            else:
                click.echo(f"The outcome of {approval.id} is now {approval.outcome.state.value}.")
        return DONE

    run(main, as_json=as_json)
