"""A desk on the configured database, for the length of one command."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import click

from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.os_user import os_user
from mcp_hitl.config import Settings, load
from mcp_hitl.desk import Desk
from mcp_hitl.domain.errors import Unavailable
from mcp_hitl.domain.principal import Principal
from mcp_hitl.store.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class Workspace:
    """What every command works with: the settings, the open store, the desk on it, and who runs it."""

    settings: Settings
    store: SqliteStore
    desk: Desk
    user: Principal


def settings_of(context: click.Context) -> Settings:
    """The settings, with the `--db` and `--config` of the command line.

    Raises:
        Invalid: a setting that cannot be followed.
    """
    options = context.find_root().params
    return load(os.environ, database=options.get("db"), configuration=options.get("config"))


@asynccontextmanager
async def workspace(settings: Settings) -> AsyncGenerator[Workspace]:
    """Open the database; close it after the block.

    Raises:
        Unavailable: it cannot be opened.
        NotAllowed: it belongs to a team, and the policy says otherwise.
    """
    store = SqliteStore(settings.database)
    try:
        desk = Desk(store, inbox=_inbox(settings), rulebook=settings.rulebook, retention=settings.retention)
        await desk.check_policy()
        await desk.find_inbox()
        yield Workspace(settings, store, desk, os_user())
    finally:
        await store.close()


def shared_key(place: Workspace) -> bytes:
    """The secret that the processes on a database share, unless the environment names one.

    Raises:
        Unavailable: it cannot be read or made.
    """
    try:
        return place.settings.key or place.store.shared_key()
    except OSError as error:
        raise Unavailable(f"The key beside the database cannot be used: {error}.") from error


def _inbox(settings: Settings) -> str:
    return f"in a terminal, `{command_line(settings, 'pending')}` lists what waits"
