"""Opens the configured database for one command."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass

import click

from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.os_user import os_user
from mcp_hitl.config import Settings, load
from mcp_hitl.desk import Desk
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.domain.values.text import in_order
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.present.views import Views
from mcp_hitl.process.desk_views import views_of
from mcp_hitl.store.opening import open_store, open_to_read
from mcp_hitl.store.store import Store


@dataclass(frozen=True, slots=True)
class Workspace:
    """What every command works with: the settings, the open store, its desk, and the user."""

    settings: Settings
    store: Store
    desk: Desk
    views: Views
    user: Principal


def settings_of(context: click.Context) -> Settings:
    """Return the settings, including `--db` and `--config` from the command line.

    Raises:
        Invalid: a setting is wrong.
    """
    options = context.find_root().params
    return load(os.environ, database=options.get("db"), configuration=options.get("config"))


@asynccontextmanager
async def workspace(settings: Settings, *, reading: bool = False) -> AsyncGenerator[Workspace]:
    """Open the database; close it after the block. With `reading`, one that cannot be written is opened all the same.

    Raises:
        Unavailable: it cannot be opened.
        NotAllowed: the database belongs to a team, but the policy is not a team policy.
    """
    store = _opened(settings, reading)
    unwritten = suppress(Unavailable) if reading else nullcontext()
    try:
        desk = Desk(store, effects=EFFECTS, rulebook=settings.rulebook, retention=settings.retention)
        with unwritten:
            await desk.check_policy(os_user())
        await desk.inbox.find_inbox()
        yield Workspace(settings, store, desk, views_of(desk, inbox=_inbox(settings)), os_user())
    finally:
        await store.close()


def shared_key(place: Workspace) -> bytes:
    """Return the secret that all processes on a database share, or the one from the environment.

    Raises:
        Unavailable: it cannot be read or made.
    """
    return place.settings.key or place.store.shared_key()


def _opened(settings: Settings, reading: bool) -> Store:
    try:
        return open_store(settings.database)
    except Unavailable as error:
        if not reading:
            raise
        store = open_to_read(settings.database, error)
        click.echo(in_order(f"mcp-hitl: {error} This shows what is in it; nothing can be changed."), err=True)
        return store


def _inbox(settings: Settings) -> str:
    return f"in a terminal, `{command_line(settings, 'pending')}` lists pending requests"
