"""A function behind an approval, and behind the MCP SDK: its body runs through the desk's journal alone."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field
from wires import content, text, unmeasured

from mcp_hitl import Approvals, Assurance, Established, OutcomeState, Principal, Status
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.principal import LOOPBACK
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid, Unavailable

pytestmark = pytest.mark.anyio

ANA = Principal("os:ana", Established.OS_USER)


class Item(BaseModel):
    """A model among the arguments."""

    name: str
    count: int = 1


@dataclass
class Place:
    """A program with one gated function, on a database that outlives it."""

    database: Path
    calls: list[Any]
    options: dict[str, Any]

    def program(self) -> tuple[Approvals, Callable[..., Awaitable[JsonObject]]]:
        """The program as it is when it has just been started."""
        approvals = Approvals(self.database, name="shop", **self.options)

        @approvals.gate(title="Refund {amount} for order {order}")
        async def refund(
            order: int,
            amount: Annotated[float, Field(gt=0, le=1000)],
            items: list[Item] | None = None,
            speed: Literal["slow", "fast"] = "slow",
        ) -> dict[str, Any]:
            """Give a customer their money back."""
            self.calls.append((order, amount, items, speed))
            if order == 13:
                raise TimeoutError("no answer")
            if order == 15:
                raise GeneratorExit
            if order == 14:
                await anyio.sleep_forever()
            return {"refunded": amount}

        return approvals, refund

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[tuple[Approvals, Client]]:
        """The program as an MCP server, with a client."""
        approvals, refund = self.program()
        mcp = MCPServer("Shop", lifespan=approvals.lifespan)
        mcp.tool()(refund)
        async with Client(mcp) as client:
            yield approvals, client


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A program that has never run."""
    return Place(tmp_path / "hitl.db", [], {"tool_error": ToolError})


async def settle(approvals: Approvals, approval_id: str, verdict: str = "approve") -> JsonObject:
    """Ana decides; the approval once it has been carried out."""
    approval = await approvals.get(approval_id)
    if verdict == "approve":
        await approvals.approve(approval, ANA, assurance=Assurance.LOCAL)
    else:
        await approvals.reject(approval, ANA, assurance=Assurance.LOCAL, comment="No.")
    with anyio.fail_after(20):
        return approvals.shape(await approvals.outcome(approval_id))


async def test_the_framework_sees_the_functions_own_signature_and_words(place: Place) -> None:
    async with place.client() as (_, client):
        [tool] = (await client.list_tools()).tools
    assert (tool.name, tool.description) == ("refund", "Give a customer their money back.")
    properties = tool.input_schema["properties"]
    assert list(properties) == ["order", "amount", "items", "speed"]
    assert properties["order"]["type"] == "integer"
    assert properties["amount"] | {"title": ""} == {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 1000,
        "title": "",
    }
    assert properties["speed"]["enum"] == ["slow", "fast"]
    assert tool.input_schema["required"] == ["order", "amount"]
    assert tool.output_schema is not None and tool.output_schema["type"] == "object"


async def test_a_call_asks_and_the_body_does_not_run(place: Place) -> None:
    async with place.client() as (approvals, client):
        asked = content(await client.call_tool("refund", {"order": 17, "amount": 40.5}))
        assert (asked["status"], asked["title"]) == ("pending", "Refund 40.5 for order 17")
        assert asked["payload"] == {"order": 17, "amount": 40.5, "items": None, "speed": "slow"}
        assert (asked["kind"], asked["requested_by"]) == ("refund", "shop")
        assert (await approvals.outcome(asked["id"], seconds=0.05)).status is Status.PENDING
    assert place.calls == []


async def test_t01_after_approval_the_body_runs_once_with_what_was_approved(place: Place) -> None:
    arguments = {"order": 17, "amount": 40.5, "items": [{"name": "cup", "count": 2}], "speed": "fast"}
    async with place.client() as (approvals, client):
        asked = content(await client.call_tool("refund", arguments))
        done = await settle(approvals, asked["id"])
    assert done["outcome"] == {"state": "succeeded", "result": {"refunded": 40.5}, "error": None}
    assert place.calls == [(17, 40.5, [Item(name="cup", count=2)], "fast")]


def shown(asked: Mapping[str, Any]) -> Shown:
    """What a tool's result showed."""
    return Shown(asked["id"], asked["revision"], asked["digest"])


async def test_t07_after_an_edit_the_body_runs_with_the_edited_payload(place: Place) -> None:
    async with place.client() as (approvals, client):
        asked = content(await client.call_tool("refund", {"order": 17, "amount": 40.5}))
        edited = asked["payload"] | {"amount": 4.5}
        await approvals.desk.approvals.edit(LOOPBACK, shown(asked), edited, assurance=Assurance.LOCAL)
        await settle(approvals, asked["id"])
    assert place.calls == [(17, 4.5, None, "slow")]


async def test_what_is_rejected_never_runs(place: Place) -> None:
    async with place.client() as (approvals, client):
        asked = content(await client.call_tool("refund", {"order": 17, "amount": 40.5}))
        done = await settle(approvals, asked["id"], "reject")
    assert (done["status"], done["outcome"]["state"], place.calls) == ("rejected", "none", [])


async def test_asked_again_while_it_is_pending_it_is_the_same_approval_and_runs_once(place: Place) -> None:
    async with place.client() as (approvals, client):
        asked = [content(await client.call_tool("refund", {"order": 17, "amount": 40.5})) for _ in range(3)]
        assert len({one["id"] for one in asked}) == 1
        await settle(approvals, asked[0]["id"])
    assert len(place.calls) == 1


async def test_the_program_may_be_restarted_between_asking_deciding_and_running(place: Place) -> None:
    async with place.client() as (_, client):
        asked = content(await client.call_tool("refund", {"order": 17, "amount": 40.5}))
    async with Approvals(place.database).running() as elsewhere:
        approval = await elsewhere.get(asked["id"])
        decided = await elsewhere.approve(approval, ANA, assurance=Assurance.LOCAL)
        assert (decided.status, place.calls) == (Status.APPROVED, [])
    for _ in range(3):
        async with place.client() as (approvals, _):
            with anyio.fail_after(20):
                done = await approvals.outcome(asked["id"])
            assert done.outcome.state is OutcomeState.SUCCEEDED
    assert len(place.calls) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"order": 17},
        {"order": "seventeen", "amount": 1},
        {"order": 17, "amount": -1},
        {"order": 17, "amount": 1, "speed": "at once"},
        {"order": 17, "amount": 1, "items": [{"count": 1}]},
    ],
)
async def test_arguments_that_do_not_fit_are_refused_and_nothing_is_asked(place: Place, arguments: JsonObject) -> None:
    async with place.client() as (approvals, client):
        assert (await client.call_tool("refund", arguments)).is_error
        assert (await approvals.desk.search.pending(ANA)).approvals == []
    approvals, refund = place.program()
    async with approvals.running():
        with pytest.raises((ToolError, TypeError)):
            await refund(**arguments)
        assert (await approvals.desk.search.pending(ANA)).approvals == []


async def test_a_refusal_of_the_function_itself_names_the_field_and_not_the_value(place: Place) -> None:
    place.options = {}
    approvals, refund = place.program()
    async with approvals.running():
        with pytest.raises(Invalid) as refused:
            await refund(order="a secret", amount=1.0)
    assert "order: Input should be a valid integer" in str(refused.value)
    assert "a secret" not in str(refused.value)


async def test_what_the_policy_refuses_the_model_is_told(place: Place, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[kinds.refund]\nschema = { properties = { amount = { type = 'number', maximum = 50 } } }\n")
    place.options["policy"] = policy
    async with place.client() as (_, client):
        refused = await client.call_tool("refund", {"order": 17, "amount": 51})
    assert refused.is_error
    assert "amount" in text(refused) and "50" in text(refused)


async def test_without_the_frameworks_error_class_a_refusal_is_an_error_of_ours(place: Place, tmp_path: Path) -> None:
    place.options = {}
    approvals, refund = place.program()
    with pytest.raises(Unavailable):
        await refund(17, 40.5)
    async with approvals.running():
        assert (await refund(17, 40.5))["status"] == "pending"


async def test_the_policy_files_kind_brings_stages_rules_and_title(place: Place, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(
        """
        [kinds.refund]
        title = "Money back: {amount}"
        schema = { properties = { order = { type = "integer" }, amount = { type = "number" } } }
        stages = [{ approvers = ["os:ana"] }]
        rules = [{ when = { properties = { amount = { maximum = 5 } }, required = ["amount"] }, decide = "approve" }]
        """
    )
    place.options["policy"] = policy
    async with place.client() as (approvals, client):
        held = content(await client.call_tool("refund", {"order": 17, "amount": 40.5}))
        assert (held["status"], held["title"]) == ("pending", "Money back: 40.5")
        small = content(await client.call_tool("refund", {"order": 18, "amount": 5}))
        with anyio.fail_after(20):
            done = await approvals.outcome(small["id"])
        assert done.outcome.result == {"refunded": 5}
    assert [call[0] for call in place.calls] == [18]


async def test_a_kind_of_the_policy_without_a_title_has_the_functions(place: Place, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[kinds.refund]\nschema = {}\n")
    place.options["policy"] = policy
    async with place.client() as (_, client):
        asked = content(await client.call_tool("refund", {"order": 17, "amount": 40.5}))
    assert asked["title"] == "Refund 40.5 for order 17"


async def test_a_payload_that_the_policy_lets_through_and_the_function_does_not_take_has_failed(
    place: Place, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[kinds.refund]\nschema = {}\n")
    place.options["policy"] = policy
    async with place.client() as (approvals, client):
        asked = content(await client.call_tool("refund", {"order": 17, "amount": 40.5}))
        await approvals.desk.approvals.edit(LOOPBACK, shown(asked), {"amount": "a lot"}, assurance=Assurance.LOCAL)
        done = await settle(approvals, asked["id"])
    assert (done["outcome"]["state"], place.calls) == ("failed", [])
    assert "order: Field required" in done["outcome"]["error"]


@pytest.mark.parametrize(("order", "why"), [(13, "TimeoutError: no answer"), (15, "it raised GeneratorExit")])
async def test_t09_a_body_that_raises_is_unknown_and_not_run_again(place: Place, order: int, why: str) -> None:
    async with place.client() as (approvals, client):
        asked = content(await client.call_tool("refund", {"order": order, "amount": 1}))
        done = await settle(approvals, asked["id"])
    assert done["outcome"]["state"] == "unknown"
    assert why in done["outcome"]["error"]
    assert len(place.calls) == 1


DIES = """
import sys

import anyio

from mcp_hitl import Approvals, Assurance, Established, Principal

approvals = Approvals(sys.argv[1], name="shop")


@approvals.gate(title="Refund order {order}")
async def refund(order: int) -> None:
    print(order, flush=True)
    if sys.argv[2] == "hang":
        await anyio.sleep_forever()


async def main(approval_id: str | None) -> None:
    async with approvals.running():
        if approval_id is None:
            shown = await approvals.get((await refund(17))["id"])
            approval_id = shown.id
            await approvals.approve(shown, Principal("os:ana", Established.OS_USER), assurance=Assurance.LOCAL)
        print((await approvals.outcome(approval_id)).outcome.state, flush=True)


anyio.run(main, sys.argv[3] if len(sys.argv) > 3 else None)
"""


def test_t09_a_process_that_is_killed_in_the_body_leaves_it_unknown(tmp_path: Path) -> None:
    script, database = tmp_path / "shop.py", tmp_path / "hitl.db"
    script.write_text(DIES)
    command = [sys.executable, str(script), str(database)]
    with subprocess.Popen([*command, "hang"], stdout=subprocess.PIPE, text=True, env=unmeasured()) as shop:
        assert shop.stdout is not None
        assert shop.stdout.readline() == "17\n"  # it is in the body
        shop.kill()
    with closing(sqlite3.connect(database)) as db, db:
        [(approval_id,)] = db.execute("SELECT id FROM approvals").fetchall()
        db.execute("UPDATE flows SET lease_until = 0")  # instead of waiting until the dead process's lease is over
    again = subprocess.run(
        [*command, "go", approval_id], capture_output=True, text=True, env=unmeasured(), timeout=60, check=True
    )
    assert again.stdout == "unknown\n"  # and not "17" before it


async def test_t15_while_stopped_the_body_does_not_run(place: Place) -> None:
    async with place.client() as (_, client):
        asked = content(await client.call_tool("refund", {"order": 17, "amount": 1}))
    async with Approvals(place.database).running() as elsewhere:
        await elsewhere.approve(await elsewhere.get(asked["id"]), ANA, assurance=Assurance.LOCAL)
        await elsewhere.desk.stops.pause(ANA)
    async with place.client() as (approvals, _):
        assert (await approvals.outcome(asked["id"], seconds=0.1)).outcome.state is OutcomeState.NONE
        assert place.calls == []
        await approvals.desk.stops.resume(ANA)
        with anyio.fail_after(20):
            await approvals.outcome(asked["id"])
    assert len(place.calls) == 1


async def test_a_call_may_wait_for_the_decision_before_it_answers(place: Place) -> None:
    place.options["wait_seconds"] = 60
    async with place.client() as (approvals, client), anyio.create_task_group() as tasks:
        answers: list[Any] = []

        async def call() -> None:
            answers.append(content(await client.call_tool("refund", {"order": 17, "amount": 1})))

        tasks.start_soon(call)
        with anyio.fail_after(20):
            while not (pending := (await approvals.desk.search.pending(ANA)).approvals):
                await anyio.lowlevel.checkpoint()
            await settle(approvals, pending[0].id)
            while not answers:
                await anyio.lowlevel.checkpoint()
        assert answers[0]["status"] == "approved"


@pytest.mark.parametrize("error", [ValueError("mine"), Invalid("ours")], ids=["a program's own", "ours"])
async def test_an_error_around_the_approvals_comes_out_as_it_is(place: Place, error: Exception) -> None:
    approvals, _ = place.program()
    with pytest.raises(type(error)) as raised:
        async with approvals.running():
            raise error
    assert raised.value is error
    async with approvals.running():
        assert (await approvals.desk.search.pending(ANA)).approvals == []


def test_what_cannot_be_gated_is_refused_where_it_is_written(place: Place) -> None:
    approvals = Approvals(place.database)
    gate: Any = approvals.gate(title="Whatever")

    async def anything(*whatever: int) -> None: ...

    async def by_position(order: int, /) -> None: ...

    def not_async(order: int) -> None: ...

    for function in (anything, by_position):
        with pytest.raises(TypeError, match="can have named arguments only"):
            gate(function)
    with pytest.raises(TypeError, match="must be async"):
        gate(not_async)


async def test_two_functions_are_two_kinds(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "hitl.db")
    calls: list[str] = []

    @approvals.gate(title="Send to {to}")
    async def send_mail(to: str) -> None:
        calls.append(f"mail {to}")

    @approvals.gate(title="Call {to}", kind="phone")
    async def call(to: str) -> None:
        calls.append(f"call {to}")

    async with approvals.running():
        mail, phone = await send_mail("ana"), await call("bo")
        assert (mail["kind"], phone["kind"]) == ("send-mail", "phone")
        await settle(approvals, phone["id"])
        await settle(approvals, mail["id"])
    assert calls == ["call bo", "mail ana"]
