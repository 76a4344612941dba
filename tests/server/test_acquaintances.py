"""The clients that connect are remembered for `doctor`: once, bounded, and never at the cost of a call."""

from datetime import timedelta
from typing import Any

import anyio
import pytest
from mcp_types import Implementation
from server.rig import GUARD_SECONDS, MODERN, OLDER, Rig, eventually
from wires import DECLINE, PROTOCOLS, Person, connect, content

from mcp_hitl.domain.approvals.clients import Acquaintance, Client, Transport
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.server.client_log import MOST_A_DAY

pytestmark = pytest.mark.anyio
ME = Implementation(name="by name", version="7")


async def met(rig: Rig, count: int) -> list[Acquaintance]:
    """The clients on record, once there are so many; the server writes them down beside the calls."""
    with anyio.fail_after(GUARD_SECONDS):
        while len(found := await rig.other_store.read(lambda view: view.clients.all())) < count:
            pass
    return found


async def looked(rig: Rig, name: str, protocol: str = OLDER[-1]) -> None:
    """A client of this name connects and calls a tool."""
    async with connect(rig.server.mcp, protocol, client_info=Implementation(name=name, version="1")) as client:
        assert content(await client.call_tool("list-pending", {}))["total"] == 0


@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("forms", [False, True], ids=["no forms", "forms"])
async def test_a_client_is_remembered_on_every_wire(
    rig: Rig, target: Any, transport: str, protocol: str, forms: bool
) -> None:
    person = Person(DECLINE) if forms else None
    async with connect(target, protocol, person=person, client_info=ME) as client:
        for _ in range(2):
            await client.call_tool("list-pending", {})
        [one] = await met(rig, 1)
    # The Python SDK declares both ways together, and on the first revision just that it can ask.
    assert one.client == Client("by name", "7", protocol, Transport(transport), forms=forms, url=one.client.url)
    assert one.client.url is False or forms
    assert one.first_seen == one.last_seen


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_a_client_calls_itself_is_bounded_and_cannot_deceive(rig: Rig, protocol: str) -> None:
    evil = Implementation(name="x\u202ey\x1b[2J" + "n" * 100_000, version="\u200b1\n2")
    async with connect(rig.server.mcp, protocol, client_info=evil) as client:
        await client.list_tools()
        [one] = await met(rig, 1)
    assert one.client.name.startswith("x\\u202ey\\u001b[2Jnnn") and len(one.client.name) < 200
    assert one.client.version == "\\u200b1\\n2"


async def test_calls_write_nothing_more_until_an_hour_is_over(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[Client] = []
    meet = rig.desk.meet

    async def counted(client: Client) -> None:
        await meet(client)
        recorded.append(client)

    monkeypatch.setattr(rig.desk, "meet", counted)
    async with connect(rig.server.mcp, MODERN, client_info=ME) as client:
        for _ in range(5):
            await client.call_tool("list-pending", {})
        await eventually(lambda: len(recorded) == 1)
        rig.clock.ahead = timedelta(hours=1)
        for _ in range(5):
            await client.call_tool("list-pending", {})
        await eventually(lambda: len(recorded) == 2)
        [one] = await met(rig, 1)
    assert recorded == [one.client, one.client]
    assert timedelta(hours=1) <= one.last_seen - one.first_seen < timedelta(hours=2)


async def test_a_client_that_changes_its_name_on_each_call_does_not_fill_the_table(rig: Rig) -> None:
    for number in range(MOST_A_DAY + 5):
        await looked(rig, f"changeling {number}", MODERN)
    rig.clock.ahead = timedelta(days=1)
    await looked(rig, "the next day", MODERN)
    names = [one.client.name for one in await met(rig, MOST_A_DAY + 1)]
    assert set(names) == {"the next day", *(f"changeling {number}" for number in range(MOST_A_DAY))}


@pytest.mark.parametrize("failure", [Unavailable("The disk is full."), RuntimeError("no such table")], ids=repr)
async def test_a_record_that_cannot_be_written_costs_no_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    tried: list[Client] = []

    async def fails(client: Client) -> None:
        tried.append(client)
        raise failure

    monkeypatch.setattr(rig.desk, "meet", fails)
    async with connect(rig.server.mcp, OLDER[-1], client_info=ME) as client:
        await client.list_tools()
        await eventually(lambda: len(tried) == 1)
        assert content(await client.call_tool("list-pending", {}))["total"] == 0
        assert await rig.other_store.read(lambda view: view.clients.all()) == []


async def test_a_call_does_not_wait_for_the_record(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = anyio.Event()

    async def never(client: Client) -> None:
        begun.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(rig.desk, "meet", never)
    async with connect(rig.server.mcp, OLDER[-1], client_info=ME) as client:
        await begun.wait()
        with anyio.fail_after(GUARD_SECONDS):
            assert content(await client.call_tool("list-pending", {}))["total"] == 0


async def test_a_client_that_says_nothing_of_itself_is_told_as_such() -> None:
    silent = Client.told("", " ", MODERN, Transport.HTTP, forms=False, url=True)
    assert silent.title == "A client without a name"
    assert Client.told("Claude Desktop", "1.2", MODERN, Transport.STDIO, forms=False, url=False).title == (
        "Claude Desktop 1.2"
    )
