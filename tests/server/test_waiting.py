"""wait-for-approval: returns at once when it is decided, anywhere; no later than asked; and nothing stays behind."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult
from server.rig import GUARD_SECONDS, MODERN, OLDER, Rig, pipes, reached, refused, valid
from wires import PROTOCOLS, connect, content, text

from mcp_hitl.domain.policy.principal import LOOPBACK

pytestmark = pytest.mark.anyio

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
WAIT = "wait-for-approval"


async def _meanwhile(
    rig: Rig, client: Any, approval_id: str, act: Callable[[], Awaitable[Any]], **arguments: Any
) -> CallToolResult:
    """Wait for an approval over the wire, and `act` once the server waits."""
    results: list[CallToolResult] = []

    async def wait() -> None:
        results.append(valid(WAIT, await client.call_tool(WAIT, {"id": approval_id, **arguments})))

    with anyio.fail_after(GUARD_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await rig.somebody_listens()
            await act()
    return results[0]


@every_protocol
@pytest.mark.parametrize("transport", ["memory", "http"])
async def test_a_decision_in_the_same_process_ends_the_wait(
    rig: Rig, target: Any, protocol: str, transport: str
) -> None:
    approval = await rig.opened()
    async with connect(target, protocol) as client:
        result = await _meanwhile(rig, client, approval.id, lambda: rig.decide(approval.id, desk=rig.desk))
    assert content(result)["status"] == "approved"
    await rig.nobody_listens()


@every_protocol
async def test_a_decision_through_another_connection_on_the_file_ends_the_wait(rig: Rig, protocol: str) -> None:
    approval = await rig.opened()
    async with connect(rig.server.mcp, protocol) as client:
        result = await _meanwhile(rig, client, approval.id, lambda: rig.decide(approval.id))
    assert content(result)["status"] == "approved"
    await rig.nobody_listens()


@every_protocol
async def test_a_decision_by_another_process_ends_the_wait(rig: Rig, protocol: str) -> None:
    approval = await rig.opened()
    results: list[CallToolResult] = []
    async with connect(rig.database, protocol) as client:

        async def wait() -> None:
            results.append(await client.call_tool(WAIT, {"id": approval.id}))

        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                # Answered after the wait was sent: the process waits by now, or is about to look.
                await client.call_tool("get-approval", {"id": approval.id})
                await rig.decide(approval.id, desk=rig.desk)
    assert content(results[0])["status"] == "approved"


@every_protocol
async def test_what_is_resolved_already_is_returned_at_once(rig: Rig, protocol: str) -> None:
    approval = await rig.opened()
    await rig.decide(approval.id)
    async with connect(rig.server.mcp, protocol) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = valid(WAIT, await client.call_tool(WAIT, {"id": approval.id, "timeout_seconds": 300}))
    assert content(result)["status"] == "approved"


@every_protocol
async def test_when_the_time_is_up_it_is_still_pending_and_says_what_to_do(rig: Rig, protocol: str) -> None:
    approval = await rig.opened()
    async with connect(rig.server.mcp, protocol) as client:
        for seconds in (0, 0.01):
            result = valid(WAIT, await client.call_tool(WAIT, {"id": approval.id, "timeout_seconds": seconds}))
            assert (result.is_error, content(result)["status"]) == (False, "pending")
            assert "call wait-for-approval" in text(result)
        for wrong in (-1, 301, "45", None, True):
            await refused(client, WAIT, {"id": approval.id, "timeout_seconds": wrong}, "invalid")
    await rig.nobody_listens()


async def test_a_deadline_that_passes_ends_the_wait(rig: Rig) -> None:
    approval = await rig.opened()
    rig.clock.ahead = approval.expires_at - rig.clock() - timedelta(milliseconds=100)
    async with connect(rig.server.mcp, MODERN) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = await client.call_tool(WAIT, {"id": approval.id, "timeout_seconds": 300})
    assert content(result)["status"] == "expired"


@every_protocol
@pytest.mark.parametrize("transport", ["memory", "http"])
async def test_a_long_wait_reports_progress(
    rig: Rig, target: Any, protocol: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_hitl.desk.approvals.TICK_SECONDS", 0.01)
    approval = await rig.opened()
    told: list[tuple[float, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))
        if len(told) == 3:
            await rig.decide(approval.id)

    async with connect(target, protocol) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = await client.call_tool(WAIT, {"id": approval.id}, progress_callback=note)
    assert content(result)["status"] == "approved"
    assert told[:3] == sorted(told[:3])
    assert {message for _, message in told} == {"Waiting for a person."}


async def test_many_wait_for_one_approval_and_all_are_told(rig: Rig) -> None:
    approval = await rig.opened()
    statuses: list[str] = []
    async with connect(rig.server.mcp, MODERN) as client:

        async def wait() -> None:
            statuses.append(content(await client.call_tool(WAIT, {"id": approval.id}))["status"])

        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(wait)
                await rig.somebody_listens()
                await rig.decide(approval.id)
    assert statuses == ["approved"] * 50
    await rig.nobody_listens()


async def test_a_change_of_another_approval_ends_no_wait(rig: Rig) -> None:
    approval, other = await rig.opened(), await rig.opened(payload={"other": 1})

    async def act() -> None:
        await rig.decide(other.id)
        await rig.opened()  # joins: news of ours, and still pending
        await rig.desk.approvals.cancel(LOOPBACK, approval.id)

    async with connect(rig.server.mcp, MODERN) as client:
        result = await _meanwhile(rig, client, approval.id, act)
    assert (content(result)["status"], content(result)["asked"]) == ("cancelled", 2)


@every_protocol
@pytest.mark.parametrize("transport", ["memory", "http"])
async def test_a_client_that_cancels_its_wait_leaves_nothing_behind(
    rig: Rig, target: Any, protocol: str, transport: str
) -> None:
    approval = await rig.opened()
    async with connect(target, protocol) as client:
        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.call_tool, WAIT, {"id": approval.id, "timeout_seconds": 300})
                await rig.somebody_listens()
                tasks.cancel_scope.cancel()
            await rig.nobody_listens()
            seen = await client.call_tool("get-approval", {"id": approval.id})
    assert content(seen)["status"] == "pending"


@pytest.mark.parametrize(
    ("protocol", "transport"), [*((protocol, "http") for protocol in PROTOCOLS), *((p, "memory") for p in OLDER)]
)
async def test_a_client_that_leaves_in_the_middle_of_a_wait_leaves_nothing_behind(
    rig: Rig, target: Any, protocol: str, transport: str
) -> None:
    approval = await rig.opened()

    async def wait(client: Client) -> None:
        # How the call ends on the client's side is the client's affair.
        with suppress(MCPError, anyio.ClosedResourceError):
            await client.call_tool(WAIT, {"id": approval.id, "timeout_seconds": 300})

    with anyio.fail_after(GUARD_SECONDS):
        async with anyio.create_task_group() as tasks:
            async with connect(target, protocol) as client:
                tasks.start_soon(wait, client)
                await rig.somebody_listens()
            await rig.nobody_listens()
            tasks.cancel_scope.cancel()
        async with connect(target, protocol) as client:
            assert content(await client.call_tool("get-approval", {"id": approval.id}))["status"] == "pending"


@every_protocol
async def test_a_client_that_dies_in_the_middle_of_a_wait_is_waited_for_no_longer_than_it_asked(
    rig: Rig, protocol: str
) -> None:
    approval = await rig.opened()
    async with reached(rig, "http") as url:
        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:

                async def connected() -> None:
                    async with connect(url, protocol) as client:
                        await client.call_tool(WAIT, {"id": approval.id, "timeout_seconds": 1})

                tasks.start_soon(connected)
                await rig.somebody_listens()
                tasks.cancel_scope.cancel()
            # Before 2026-07-28 a connection that drops cancels nothing: the client may come back for its answer.
            await rig.nobody_listens()


@pytest.mark.parametrize("protocol", OLDER)
async def test_a_wait_that_is_cancelled_on_stdio_leaves_the_server_answering(rig: Rig, protocol: str) -> None:
    approval = await rig.opened()
    async with pipes(rig.database) as client:
        await client.shake_hands(protocol)
        call = await client.request("tools/call", name=WAIT, arguments={"id": approval.id, "timeout_seconds": 300})
        await client.write(
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": call, "reason": "enough"}}
        )
        seen = await client.call("get-approval", id=approval.id)
    assert seen["structuredContent"]["status"] == "pending"
    assert [m for m in client.seen if m.get("id") == call and "result" in m] == []


async def test_waiting_over_http_does_not_hold_up_other_clients(rig: Rig) -> None:
    approval = await rig.opened()
    async with reached(rig, "http") as url, connect(url, MODERN) as waiting, connect(url, OLDER[1]) as other:

        async def act() -> None:
            assert content(await other.call_tool("list-pending", {}))["total"] == 1
            await rig.decide(approval.id)

        result = await _meanwhile(rig, waiting, approval.id, act)
    assert content(result)["status"] == "approved"


async def test_a_first_wait_that_is_cancelled_at_once_leaves_later_waits_their_news(rig: Rig) -> None:
    approval = await rig.opened()
    read = rig.store.read
    reading = anyio.Event()

    async def stuck(work: Any) -> Any:
        reading.set()
        await anyio.sleep_forever()

    async with connect(rig.server.mcp, MODERN) as client:
        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:
                rig.store.read = stuck
                tasks.start_soon(client.call_tool, WAIT, {"id": approval.id})
                await reading.wait()
                tasks.cancel_scope.cancel()
        rig.store.read = read
        result = await _meanwhile(rig, client, approval.id, lambda: rig.decide(approval.id), timeout_seconds=300)
    assert content(result)["status"] == "approved"
