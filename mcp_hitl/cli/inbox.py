"""The command `inbox`: opens a signed-in browser on the inbox of this database."""

import asyncio
import html
import os
import re
import stat
import threading
import time
import webbrowser
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from mcp_hitl.cli import terminal
from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.lost_database import ending_without, exit_code
from mcp_hitl.cli.running import DONE, REFUSED, run
from mcp_hitl.cli.workspace import Workspace, settings_of, shared_key, workspace
from mcp_hitl.config import Location, Settings, default_database
from mcp_hitl.config.policy_source import PolicySource
from mcp_hitl.domain.approvals.session import LINK_LIFE, LinkEnd
from mcp_hitl.domain.values.origin import Origin

_ID = click.argument("approval_id", metavar="[ID]", required=False)
_ENDS = {
    LinkEnd.USED: "Signed in.",
    LinkEnd.VOIDED: "The link was not used: all sessions were ended meanwhile, and all links were cancelled.",
    LinkEnd.UNUSED: "The link was not used within ten minutes.",
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the person asked for."""

    printed: bool
    approval_id: str | None

    @property
    def path(self) -> str:
        """The page."""
        return f"/approvals/{self.approval_id}" if self.approval_id else "/"

    @property
    def to_print(self) -> tuple[str, ...]:
        """Return the arguments of the command that prints a link to the same page."""
        return ("inbox", *([self.approval_id] if self.approval_id else []), "--print")


@click.command(short_help="Open the inbox in your browser, signed in.")
@_ID
@click.option("--print", "printed", is_flag=True, help="Print the sign-in link instead of opening a browser.")
@click.option("--sign-out", "signed_out", is_flag=True, help="End all sessions in all browsers. Opens nothing.")
@click.pass_context
def inbox(context: click.Context, approval_id: str | None, printed: bool, signed_out: bool) -> None:
    """Open the inbox in your browser, signed in. With ID, open the page of that approval.

    If no server runs on this database, this command serves the inbox until you press Ctrl-C.
    """

    if signed_out:
        if printed or approval_id:
            raise click.UsageError("--sign-out cannot be combined with --print or ID.")
        run(lambda: _sign_out(settings_of(context)))

    async def main() -> int:
        # A link decides who may decide: as with every decision, a person at a terminal has to ask for it.
        terminal.require_terminal(
            "A sign-in link is given only to a person at a terminal, and there is none here. No link was made. Run "
            "this command in a terminal, with input and errors not redirected."
        )
        async with workspace(settings_of(context)) as place:
            _remove_left_pages(place.settings.database)
            wanted = _Wanted(printed, approval_id and (await place.desk.approvals.get(place.user, approval_id)).id)
            address = place.desk.inbox.address or await _serve(place, wanted)
            return exit_code(place.store) if address is None else await _enter(place, address, wanted)

    run(main)


async def _sign_out(settings: Settings) -> int:
    async with workspace(settings) as place:
        ended = await place.desk.inbox.sign_everybody_out(place.user)
    click.echo(f"{ended:,} {'session' if ended == 1 else 'sessions'} ended.")
    return DONE


async def _enter(place: Workspace, address: Origin, wanted: _Wanted) -> int:
    import anyio

    from mcp_hitl.web.host import LOOK_SECONDS, is_ours

    ours = await is_ours(shared_key(place), address)
    if not ours:
        await anyio.sleep(LOOK_SECONDS)  # whoever takes it over at this moment has not said where, or does not listen
        address = await place.desk.inbox.find_inbox() or address
        ours = await is_ours(shared_key(place), address)
    if not ours:
        click.echo(
            f"mcp-hitl: The server at {address} does not answer, or is not the inbox of this database, so it was not "
            "opened. Try again in a moment, or stop that server. (A server started with another MCP_HITL_KEY than this "
            "command has is refused too.)",
            err=True,
        )
        return REFUSED
    async with place.desk.open():
        return DONE if await _sign_in(place, address, wanted) else REFUSED


async def _serve(place: Workspace, wanted: _Wanted) -> Origin | None:
    """Serve the inbox until stopped. If another process serves it first, return its address."""
    import anyio

    from mcp_hitl.process.os_signals import on_signals
    from mcp_hitl.process.workers import serve
    from mcp_hitl.web.app import Inbox
    from mcp_hitl.web.host import host_inbox

    pages = Inbox(place.desk, key=shared_key(place), how=command_line(place.settings, "inbox"))
    opening: set[asyncio.Task[bool]] = set()
    found: list[Origin] = []
    waiting = False

    def ready(address: Origin) -> None:
        terminal.say(f"The inbox is at {address} while this command runs. Stop with Ctrl-C.")
        opening.add(asyncio.create_task(_sign_in(place, address, wanted)))

    def elsewhere(address: Origin | None) -> None:
        nonlocal waiting
        if address is not None:
            found.append(address)
            until_stopped.cancel()
        elif not waiting:
            waiting = True
            terminal.say("Another process is about to serve the inbox. Waiting for it …")

    with anyio.CancelScope() as until_stopped, on_signals(until_stopped.cancel):
        policy = PolicySource(place.settings)
        async with serve(place.desk, policy=policy), ending_without(place.store):
            await host_inbox(place.desk, pages, ready=ready, elsewhere=elsewhere)
    for task in opening:
        task.cancel()
    return found[0] if found else None


async def _sign_in(place: Workspace, address: Origin, wanted: _Wanted) -> bool:
    """Give the person a link and wait until it is used. Returns False if it is not."""
    import anyio

    from mcp_hitl.web.sign_in import link

    code = await place.desk.inbox.offer_link(place.user)
    where = link(address, code, wanted.path)
    if wanted.printed:
        terminal.say(f"Open this link in your browser within ten minutes. It works once:\n\n  {where}\n")
        return True
    with _page_that_goes_on_to(where, place.settings.database) as page:
        # A browser that is confined may show nothing: it cannot read files in every folder, and nobody would tell.
        terminal.say(f"Opening {address} in your browser …")
        terminal.say(f"If the page stays empty, run: {command_line(place.settings, *wanted.to_print, here=True)}")
        opened, end = True, LinkEnd.UNUSED
        async with anyio.create_task_group() as tasks:

            async def browse() -> None:
                nonlocal opened
                opened = await _opened(page)
                if not opened:
                    tasks.cancel_scope.cancel()

            tasks.start_soon(browse)
            end = await place.desk.inbox.link_end(code, seconds=LINK_LIFE.total_seconds())
            tasks.cancel_scope.cancel()
    if not opened:
        terminal.say("No browser could be started here. Run the command above for a link that you can open yourself.")
    else:
        terminal.say(_ENDS[end])
    return opened and end is LinkEnd.USED


async def _opened(page: Path) -> bool:
    """Start a browser on a page. Returns False if none starts."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[bool] = loop.create_future()

    def tell(started: bool) -> None:
        if not told.done():
            told.set_result(started)

    def start() -> None:
        started = webbrowser.open(page.as_uri())
        with suppress(RuntimeError):  # the loop has ended before the browser
            loop.call_soon_threadsafe(tell, started)

    # The page may come from this very process; and a thread of the event loop's would be waited for at the end.
    threading.Thread(target=start, daemon=True).start()
    return await told


@contextmanager
def _page_that_goes_on_to(where: str, database: Location) -> Generator[Path]:
    """Create a private page that redirects to the link: everybody on the machine can read a command line."""
    file = _neighbour(database)
    page = file.with_name(f"{file.name}.open-{os.getpid()}.html")
    page.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    page.unlink(missing_ok=True)  # of a killed command that had our number
    try:
        with open(os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(
                '<!doctype html><meta charset="utf-8"><title>Opening the inbox</title>'
                f'<meta http-equiv="refresh" content="0;url={html.escape(where)}">'
                f'<p><a href="{html.escape(where)}">Open the inbox</a></p>\n'
            )
        yield page
    finally:
        page.unlink(missing_ok=True)


def _remove_left_pages(database: Location) -> None:
    """Remove the pages that killed commands left behind, once their links have expired."""
    outdated = time.time() - LINK_LIFE.total_seconds()
    file = _neighbour(database)
    name = re.compile(re.escape(file.name) + r"\.open-\d+\.html")
    for path in file.parent.glob("*.html"):
        if name.fullmatch(path.name):
            with suppress(OSError):  # somebody else was faster, or may do what we may not
                found = path.lstat()
                if stat.S_ISREG(found.st_mode) and found.st_mtime < outdated and _is_mine(found):
                    path.unlink()


def _neighbour(database: Location) -> Path:
    """Return the file next to which our pages are: the database, or if it is no file, the usual one."""
    return database.file or Path(str(default_database()))


def _is_mine(found: os.stat_result) -> bool:
    return os.name != "posix" or found.st_uid == os.getuid()
