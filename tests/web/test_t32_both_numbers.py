"""T32: `localhost` means two numbers, and a browser takes either. The inbox has both, or it is not there."""

import errno
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import anyio
import httpx2
import pytest
from inboxes import stranger
from web.attack import a_form, asked, sealed_on
from web.rig import ANA, GUARD_SECONDS, KEY, Place
from web.test_hosting import hosting

from mcp_hitl.desk import Desk
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.protocols.http import sockets
from mcp_hitl.protocols.http.listener import Listener
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.web.app import Inbox
from mcp_hitl.web.host import is_ours

BOTH = ("127.0.0.1", "::1")


def _has_ipv6() -> bool:
    return sockets.numbers("localhost", 1) == list(BOTH)


pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not _has_ipv6(), reason="this machine has no [::1]")]


@asynccontextmanager
async def at(path: Path, host: str, port: int = 0) -> AsyncGenerator[Origin]:
    """An inbox that listens at that host, and nowhere else."""
    store = SqliteStore(path)
    ready = anyio.Event()
    listener = Listener(
        Inbox(Desk(store, effects=EFFECTS), key=KEY, how="").app, host, port, ready=lambda _: ready.set()
    )
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.run)
            with anyio.fail_after(GUARD_SECONDS):
                await ready.wait()
            yield listener.address
            listener.stop()
    finally:
        await store.close()


def refuses_to_listen(host: str, port: int) -> bool:
    """Whether the port is taken there."""
    try:
        for one in sockets.listening(host, port):
            one.close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def test_t32_both_numbers_are_taken_on_one_port() -> None:
    found = sockets.listening("localhost", 0)
    port = found[0].getsockname()[1]
    assert [one.getsockname()[:2] for one in found] == [(number, port) for number in BOTH]
    assert all(refuses_to_listen(number, port) for number in BOTH)
    for one in found:
        one.close()


@pytest.mark.parametrize("number", BOTH)
def test_t32_a_port_that_a_stranger_has_on_one_number_is_not_taken_on_the_other(number: str) -> None:
    [other] = [one for one in BOTH if one != number]
    with stranger(0, lambda _: (200, {}), number) as there:
        assert refuses_to_listen("localhost", there.address.port)
        assert not refuses_to_listen(other, there.address.port), "nothing is left open"


def test_t32_a_free_port_is_one_that_is_free_on_both(monkeypatch: pytest.MonkeyPatch) -> None:
    take, refused = sockets._take, 0  # pyright: ignore[reportPrivateUsage]

    def busy(number: str, port: int) -> socket.socket:
        nonlocal refused
        if number == "::1" and refused < 3:
            refused += 1
            raise OSError(errno.EADDRINUSE, "address already in use")
        return take(number, port)

    monkeypatch.setattr(sockets, "_take", busy)
    found = sockets.listening("localhost", 0)
    assert refused == 3 and len({one.getsockname()[1] for one in found}) == 1 and len(found) == 2
    for one in found:
        one.close()


@pytest.mark.parametrize("how", ["rubbish", "relay"])
@pytest.mark.parametrize("number", BOTH)
async def test_t32_a_stranger_on_the_other_number_makes_the_address_nobodys(
    tmp_path: Path, number: str, how: str
) -> None:
    [other] = [one for one in BOTH if one != number]
    async with at(tmp_path / "hitl.db", number) as ours:

        def answer(path: str) -> tuple[int, Any]:
            if how == "rubbish":
                return 200, {"proof": "0" * 64}
            with urlopen(f"{ours}{path}") as relayed:
                return 200, json.load(relayed)

        shared = Origin("http", "localhost", ours.port)
        assert await is_ours(KEY, ours)
        assert not await is_ours(KEY, shared), "nobody is at the other one, so that anybody could be there next"
        with stranger(ours.port, answer, other):
            assert await is_ours(KEY, ours) and not await is_ours(KEY, shared)


async def test_t32_the_inbox_is_ours_where_it_answers_at_both(place: Place) -> None:
    assert place.origin.host == "localhost"
    assert await is_ours(KEY, place.origin)
    for number in BOTH:
        assert await is_ours(KEY, Origin("http", number, place.origin.port))


async def test_t32_where_there_is_no_ipv6_the_other_number_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = sockets._socket  # pyright: ignore[reportPrivateUsage]

    def without(number: str) -> socket.socket:
        if number == "::1":
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return make(number)

    monkeypatch.setattr(sockets, "_socket", without)
    async with at(tmp_path / "hitl.db", "localhost") as address:
        assert await is_ours(KEY, address)


async def test_t32_a_stranger_on_one_number_of_the_last_address_gets_nothing_that_is_worth_something(
    tmp_path: Path,
) -> None:
    path = tmp_path / "hitl.db"
    async with hosting(path) as (desk, _, first):
        session = await desk.inbox.sign_in(await desk.inbox.offer_link(ANA), at=first)
        assert first.host == "localhost"
    with stranger(first.port, lambda _: (200, {}), "::1") as there:
        async with hosting(path) as (desk, _, second):
            assert second.port != first.port and there == []
            assert await desk.inbox.session(session.secret) is None


async def test_a_token_is_valid_at_both_numbers_of_its_address(place: Place, http: httpx2.AsyncClient) -> None:
    headers = place.headers(await place.signed_in())
    own = {"host": place.origin.authority}
    for number, verdict in zip(BOTH, ("approve", "reject"), strict=True):
        approval = await asked(place, {"n": number})
        fields = a_form(approval, await sealed_on(http, headers, approval), verdict, comment="So be it.")
        to = f"{Origin('http', number, place.origin.port)}/approvals/{approval.id}/decide"
        assert (await http.post(to, data=fields, headers=headers | own)).status_code == 200


@pytest.mark.parametrize("number", BOTH)
async def test_t32_a_token_of_both_numbers_is_not_valid_where_only_one_is_ours(tmp_path: Path, number: str) -> None:
    path = tmp_path / "hitl.db"
    store = SqliteStore(path)
    desk = Desk(store, effects=EFFECTS)
    async with at(path, number) as ours, httpx2.AsyncClient(base_url=str(ours)) as http:
        place = Place(desk, ours, await desk.inbox.database_id())
        shared = Place(desk, Origin("http", "localhost", ours.port), place.database)
        for one, status in ((shared, 403), (place, 200)):
            headers = place.headers(await one.signed_in())
            assert (await http.post("/sign-out", headers=headers)).status_code == status
    await store.close()
