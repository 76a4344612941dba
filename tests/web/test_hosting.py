"""Being the one that serves the inbox."""

import errno
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import pytest
from inboxes import stranger
from server.rig import eventually
from web.rig import ANA, GUARD_SECONDS, KEY, Place

from mcp_hitl.desk import Desk
from mcp_hitl.desk.sign_in import InboxAccess
from mcp_hitl.domain.evidence.chain import SYSTEM
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.errors import NotAllowed, Unavailable
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import serve
from mcp_hitl.protocols.http import sockets
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.web.app import Inbox
from mcp_hitl.web.host import host_inbox

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def hosting(path: Path) -> AsyncGenerator[tuple[Desk, SqliteStore, Origin]]:
    """An inbox as a server on stdio has it, and where it is."""
    store = SqliteStore(path)
    desk = Desk(store, effects=EFFECTS)
    found: list[Origin] = []
    ready = anyio.Event()

    def note(address: Origin) -> None:
        found.append(address)
        ready.set()

    async def host() -> None:
        await host_inbox(desk, Inbox(desk, key=KEY, how=""), ready=note)

    try:
        async with serve(desk), anyio.create_task_group() as tasks:
            tasks.start_soon(host)
            with anyio.fail_after(GUARD_SECONDS):
                await ready.wait()
            yield desk, store, found[0]
            tasks.cancel_scope.cancel()
    finally:
        await store.close()


async def test_t32_what_a_stranger_on_the_port_has_had_is_worth_nothing_although_it_is_gone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "hitl.db"
    async with hosting(path) as (desk, _, first):
        sessions = [await desk.inbox.sign_in(await desk.inbox.offer_link(ANA), at=first) for _ in range(2)]
        code = await desk.inbox.offer_link(ANA)
    with stranger(first.port, lambda _: (200, {})) as asked:
        pass  # who has had the port and is gone has had no less than who is there still
    async with hosting(path) as (desk, store, second):
        assert second != first and asked == []
        assert [await desk.inbox.session(session.secret) for session in sessions] == [None, None]
        with pytest.raises(NotAllowed):
            await desk.inbox.sign_in(code, at=second)
        told = [one.entry for one in await store.read(lambda view: view.log.chain(0, 10))][2:]
        assert [(entry.event, entry.actor) for entry in told] == [(Event.SIGNED_OUT, SYSTEM)] * 3
        assert [entry.data for entry in told] == [{"person": ANA.id}, {"person": ANA.id}, {"links": 1}]


async def test_an_inbox_whose_address_cannot_be_recorded_yet_goes_on_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce, refused = InboxAccess.announce_inbox, 0

    async def locked(self: InboxAccess, address: Origin) -> None:
        nonlocal refused
        if not refused:
            refused += 1
            raise Unavailable("The database stayed locked.")
        await announce(self, address)

    monkeypatch.setattr(InboxAccess, "announce_inbox", locked)
    async with hosting(tmp_path / "hitl.db") as (desk, _, address):
        assert (refused, desk.inbox.address) == (1, address)


async def test_t30_the_inbox_never_begins_anew_where_it_was_although_no_other_port_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another account that has all other ports would have it back where it left a service worker in the gap."""
    path = tmp_path / "hitl.db"
    async with hosting(path) as (_, _, first):
        pass
    async with hosting(path) as (desk, _, second):
        pass
    free = [first.port, second.port]
    listening = sockets.listening

    tries = 0

    def last_free(host: str, port: int) -> list[socket.socket]:
        nonlocal tries
        tries += 1
        for one in free:
            with suppress(OSError):
                return listening(host, one)
        raise OSError(errno.EADDRINUSE, "address already in use")

    monkeypatch.setattr(sockets, "listening", last_free)
    monkeypatch.setattr("mcp_hitl.web.host.LOOK_SECONDS", 0.01)
    store = SqliteStore(path)
    desk = Desk(store, effects=EFFECTS)
    inbox = Inbox(desk, key=KEY, how="")
    try:
        async with serve(desk), anyio.create_task_group() as tasks:
            ready, found = anyio.Event(), list[Origin]()

            def note(address: Origin) -> None:
                found.append(address)
                ready.set()

            tasks.start_soon(partial(host_inbox, desk, inbox, ready=note))
            await eventually(lambda: "no port" in caplog.text or ready.is_set())
            assert found == []
            await eventually(lambda: tries > 5)
            with socket.create_server(("127.0.0.1", 0)) as other:
                free.append(other.getsockname()[1])
            with anyio.fail_after(GUARD_SECONDS):
                await ready.wait()
            assert [one.levelname for one in caplog.records if "no port of this machine" in one.message] == ["ERROR"]
            assert found[0].port == free[-1], "it has gone on trying, and has left none of the others taken"
            tasks.cancel_scope.cancel()
    finally:
        await store.close()


async def test_t30_the_ports_that_are_remembered_are_not_more_than_a_machine_can_spare(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_hitl.desk.sign_in._MOST_SPENT", 3)
    for port in (1, 2, 3, 2, 4, 5):
        await place.desk.inbox.spend_port(port)
    assert await place.desk.inbox.spent_ports() == {2, 4, 5}
