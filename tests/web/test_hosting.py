"""Being the one that serves the inbox."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from inboxes import stranger
from web.rig import ANA, GUARD_SECONDS, KEY

from mcp_hitl.desk import Desk
from mcp_hitl.desk.sign_in import InboxAccess
from mcp_hitl.domain.evidence.chain import SYSTEM
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.errors import NotAllowed, Unavailable
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import serve
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
