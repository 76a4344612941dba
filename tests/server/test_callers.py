"""Who asks is found for each request: one server answers many, and nobody acts as the one who asked before."""

from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from server.rig import GUARD_SECONDS, MODERN, OLDER, Rig, listening, modern_request
from server.test_notices import PENDING, Ear, subscribe
from wires import connect, content

from mcp_hitl.desk.search import Page
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import NotAllowed

pytestmark = pytest.mark.anyio

HEADER = "x-who"
EXPENSE = {"amount": 5, "description": "Lunch"}


def by_header(context: ServerRequestContext[Any, Any]) -> Principal:
    """Whoever a header of the request names."""
    name = context.request.headers.get(HEADER) if context.request is not None else None
    if name is None:
        raise NotAllowed("Say who you are.")
    return Principal(f"os:{name}", Established.OS_USER)


async def call(url: str, who: str | None, tool: str, **arguments: Any) -> JsonObject:
    """Call a tool as somebody; gives the structured content."""
    body, headers = modern_request("tools/call", {"name": tool, "arguments": arguments}, tool)
    named = {} if who is None else {HEADER: who}
    async with httpx2.AsyncClient(timeout=GUARD_SECONDS) as http:
        response = await http.post(url, json=body, headers=headers | named)
    return response.json()["result"]["structuredContent"]


async def test_what_one_asks_another_on_the_same_server_may_not_cancel(rig: Rig) -> None:
    async with listening(rig.asking(by_header)) as url:
        asked = await call(url, "ana", "submit-expense", **EXPENSE)
        assert asked["requested_by"] == "os:ana"
        refused = await call(url, "bo", "cancel-approval", id=asked["id"])
        assert refused["code"] == "not_allowed"
        assert (await call(url, "ana", "get-approval", id=asked["id"]))["status"] == "pending"
        assert (await call(url, "ana", "cancel-approval", id=asked["id"]))["status"] == "cancelled"


async def test_the_same_request_of_two_callers_is_two_requests(rig: Rig) -> None:
    async with listening(rig.asking(by_header)) as url:
        first, second, again = [await call(url, who, "submit-expense", **EXPENSE) for who in ("ana", "bo", "ana")]
    assert first["id"] != second["id"] and first["id"] == again["id"]
    assert second["requested_by"] == "os:bo"


async def test_who_cannot_be_identified_gets_nothing_done(rig: Rig) -> None:
    async with listening(rig.asking(by_header)) as url:
        refused = await call(url, None, "submit-expense", **EXPENSE)
    assert refused == {"code": "not_allowed", "message": "Say who you are."}
    assert rig.rows()["approvals"] == 0


class Turns:
    """Says that a request comes from whoever is `now`."""

    def __init__(self) -> None:
        """Ana begins."""
        self.now = "ana"

    def __call__(self, context: ServerRequestContext[Any, Any]) -> Principal:
        """The server's `identify`."""
        if self.now == "nobody":
            raise NotAllowed("Say who you are.")
        return Principal(f"os:{self.now}", Established.OS_USER)


async def test_lists_are_read_for_whoever_asks_for_them(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, read_for = Turns(), list[str]()
    behind = rig.desk.search.pending

    async def pending(principal: Principal, **options: Any) -> Page:
        read_for.append(principal.id)
        return await behind(principal, **options)

    monkeypatch.setattr(rig.desk.search, "pending", pending)
    async with connect(rig.asking(turns).mcp, MODERN) as client:
        for who in ("ana", "bo", "ana"):
            turns.now = who
            content(await client.call_tool("list-pending", {}))
            await client.read_resource(PENDING)
            await client.get_prompt("review-pending")
            assert read_for == [f"os:{who}"] * 3
            read_for.clear()
        turns.now = "nobody"
        with pytest.raises(MCPError, match="Say who you are"):
            await client.read_resource(PENDING)
        assert read_for == []


@pytest.mark.parametrize("protocol", OLDER)
async def test_nobody_ends_the_subscription_of_another_on_the_same_connection(rig: Rig, protocol: str) -> None:
    turns, ear = Turns(), Ear()
    async with connect(rig.asking(turns).mcp, protocol, on_message=ear) as client:
        await subscribe(client, PENDING)
        turns.now = "bo"
        await subscribe(client, PENDING, end=True)
        await rig.opened()
        await ear.until(PENDING)
        turns.now = "ana"
        await subscribe(client, PENDING, end=True)
        await _hears_nothing_of_it(rig, client, ear)
    await rig.nobody_listens()


async def _hears_nothing_of_it(rig: Rig, client: Client, ear: Ear) -> None:
    marker = await rig.opened(payload={"marker": 1})
    await subscribe(client, f"audit://{marker.id}")
    await rig.desk.approvals.cancel(rig.desk_principal, marker.id)
    await ear.until(f"audit://{marker.id}")
    assert PENDING not in ear.heard


async def test_who_cannot_be_identified_gets_no_subscription(rig: Rig) -> None:
    turns = Turns()
    turns.now = "nobody"
    for protocol in (*OLDER, MODERN):
        async with connect(rig.asking(turns).mcp, protocol) as client:
            with pytest.raises(MCPError), anyio.fail_after(GUARD_SECONDS):
                if protocol == MODERN:
                    async with client.listen(resource_subscriptions=[PENDING]):
                        pass
                else:
                    await subscribe(client, PENDING)
    assert rig.listening == 0
