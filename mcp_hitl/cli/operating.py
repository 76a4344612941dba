"""Commands for whoever runs the place: `pause`, `resume`, `reset-clock`, `reconcile`."""

import click

from mcp_hitl.cli import person
from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.running import DONE, NO, print_json, run
from mcp_hitl.cli.workspace import settings_of, workspace
from mcp_hitl.domain.instants import rfc3339
from mcp_hitl.domain.policy import Assurance
from mcp_hitl.domain.presentation import review

_KIND = click.option("--kind", help="Only this kind.")


@click.command(short_help="Stop all decisions and runs.")
@_KIND
@click.pass_context
def pause(context: click.Context, kind: str | None) -> None:
    """The emergency stop: nothing is decided, redeemed or run; asking goes on."""

    async def main() -> int:
        async with workspace(settings_of(context)) as place:
            stopped = await place.desk.pause(place.user, kind)
        click.echo(f"{_named(kind)} {'is' if stopped else 'was already'} stopped.")
        return DONE

    run(main)


@click.command(short_help="End a stop made by pause.")
@_KIND
@click.pass_context
def resume(context: click.Context, kind: str | None) -> None:
    """End an emergency stop."""

    async def main() -> int:
        person.require_terminal()
        async with workspace(settings_of(context)) as place:
            if not person.confirm(f"Let {f'the kind {kind}' if kind else 'everything'} go on?"):
                person.say("Nothing was changed.")
                return NO
            resumed = await place.desk.resume(place.user, kind)
            left = [stop.kind for stop in await place.desk.paused(place.user) if kind is None or stop.kind is None]
        if not left:
            click.echo("It goes on." if resumed else "It was not stopped.")
            return DONE
        click.echo("That stop is over, and another is not:" if resumed else "That was not stopped, and this is:")
        for one in left:
            words = ("resume",) if one is None else ("resume", "--kind", one)
            again = command_line(settings_of(context), *words, here=True)
            click.echo(f"{_named(one)} is still stopped. To let it go on: {again}")
        return DONE

    run(main)


def _named(kind: str | None) -> str:
    return f"The kind {kind}" if kind else "Everything"


@click.command("reset-clock", short_help="Trust the clock again after it ran ahead.")
@click.pass_context
def reset_clock(context: click.Context) -> None:
    """Trust this computer's clock again, after it ran far ahead and was set right."""

    async def main() -> int:
        person.require_terminal()
        async with workspace(settings_of(context)) as place:
            now = rfc3339(place.desk.clock())
            if not person.confirm(f"Is it {now} (UTC)? Then what was recorded later was a wrong clock's word."):
                person.say("Nothing was changed.")
                return NO
            was = await place.desk.reset_clock(place.user)
        click.echo(f"The latest instant on record was {rfc3339(was)}; the clock counts again.")
        return DONE

    run(main)


@click.command(short_help="Record whether an unknown outcome succeeded.")
@click.argument("approval_id", metavar="ID")
@click.option("--succeeded/--failed", "succeeded", default=None, help="What you found out; one of the two.")
@click.option("--json", "as_json", is_flag=True, help="Print the approval.")
@click.pass_context
def reconcile(context: click.Context, approval_id: str, succeeded: bool | None, as_json: bool) -> None:
    """Settle an outcome that nobody could tell, after you have looked."""
    if succeeded is None:  # which click takes for an answer, also where one is required
        raise click.UsageError("Say what you found out: --succeeded or --failed.")

    async def main() -> int:
        person.require_terminal()
        async with workspace(settings_of(context)) as place:
            approval = await place.desk.get(place.user, approval_id)
            person.say(review(approval, place.desk.clock()))
            if not person.confirm(f"\nRecord for good that this {'succeeded' if succeeded else 'failed'}?"):
                person.say("Nothing was changed.")
                return NO
            approval = await place.desk.reconcile(place.user, approval_id, succeeded, assurance=Assurance.LOCAL)
            if as_json:
                print_json(place.desk.shape(approval))
            else:
                click.echo(f"The outcome of {approval.id} is {approval.outcome.state.value} now.")
        return DONE

    run(main, as_json=as_json)
