"""Calls that are answered at once take the short way, and only they; no check is built for a call."""

from collections.abc import Mapping
from typing import Any, cast

import httpx2
import mcp.shared.inbound
import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from pydantic._internal._generate_schema import GenerateSchema
from server.rig import MODERN, OLDER, Rig, modern_request, reached
from wires import connect, content

from mcp_hitl.domain.values import schemas
from mcp_hitl.server.tools import TOOLS

pytestmark = pytest.mark.anyio
ASKED = {"title": "Deploy", "details": {"version": 7}}


class Heard:
    """Middleware that keeps the names of the tools that were called."""

    def __init__(self) -> None:
        """Begin with none."""
        self.names: list[str] = []

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Keep the name, and serve the message."""
        if ctx.method == "tools/call":
            self.names.append(cast("Mapping[str, str]", ctx.params)["name"])
        return await call_next(ctx)


@pytest.fixture
def ways(rig: Rig) -> tuple[Heard, Heard]:
    """What comes by the short way, and what by the long one."""
    short, long = Heard(), Heard()
    rig.server.tools.middleware.append(short)
    rig.server.mcp.middleware.append(long)
    return short, long


async def _through_a_life(url: str, protocol: str) -> list[str]:
    """Call every tool that is said to answer at once, and one that waits; return the names of the former."""
    async with connect(url, protocol) as client:
        opened = content(await client.call_tool("request-approval", ASKED))
        of = {"id": opened["id"]}
        for name, arguments in (
            ("submit-expense", {"amount": 5, "description": "Lunch"}),
            ("list-pending", {}),
            ("get-approval", of),
            ("redeem-approval", of | {"digest": opened["digest"]}),
            ("report-outcome", of | {"succeeded": True}),
            ("cancel-approval", of),
        ):
            await client.call_tool(name, arguments)
        await client.call_tool("wait-for-approval", of | {"timeout_seconds": 0})
    return [name for name, tool in TOOLS.items() if tool.at_once]


async def test_on_the_present_protocol_what_answers_at_once_takes_the_short_way(
    rig: Rig, ways: tuple[Heard, Heard]
) -> None:
    short, long = ways
    async with reached(rig, "http") as url:
        at_once = await _through_a_life(url, MODERN)
    assert sorted(short.names) == sorted(at_once)
    assert long.names == ["wait-for-approval"]


@pytest.mark.parametrize("protocol", OLDER)
async def test_on_an_older_protocol_every_call_goes_by_its_session(
    rig: Rig, protocol: str, ways: tuple[Heard, Heard]
) -> None:
    short, long = ways
    async with reached(rig, "http") as url:
        at_once = await _through_a_life(url, protocol)
    assert short.names == []
    assert sorted(long.names) == sorted([*at_once, "wait-for-approval"])


@pytest.mark.parametrize("named", ["request-approval", "get-approval"])
async def test_headers_that_name_another_tool_than_the_body_are_refused(
    rig: Rig, named: str, ways: tuple[Heard, Heard]
) -> None:
    called = "wait-for-approval" if named == "get-approval" else "approve"
    body, headers = modern_request("tools/call", {"name": called, "arguments": {"id": "apr_1"}}, named)
    async with reached(rig, "http") as url, httpx2.AsyncClient() as http:
        refused = await http.post(url, json=body, headers=headers)
    assert (refused.status_code, [way.names for way in ways]) == (400, [[], []])


@pytest.mark.parametrize("twice", ["mcp-name", "mcp-method", "mcp-protocol-version"])
async def test_a_header_that_occurs_twice_is_refused(rig: Rig, twice: str) -> None:
    body, headers = modern_request("tools/call", {"name": "request-approval", "arguments": ASKED}, "request-approval")
    for doubled in ([(twice, headers[twice]), (twice, "x")], [(twice, "x"), (twice, headers[twice])]):
        rest = [(name, value) for name, value in headers.items() if name != twice]
        async with reached(rig, "http") as url, httpx2.AsyncClient() as http:
            refused = await http.post(url, json=body, headers=rest + doubled)
        assert refused.status_code == 400
    assert rig.rows()["approvals"] == 0


def test_no_tool_declares_a_header_for_an_argument() -> None:
    for tool in TOOLS.values():
        assert "x-mcp-header" not in str(tool.definition.input_schema), tool.name


@pytest.mark.parametrize("protocol", [OLDER[-1], MODERN])
async def test_after_the_first_call_no_check_is_built_and_no_schema_searched(
    rig: Rig, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def counted(where: object, name: str) -> None:
        kept = getattr(where, name)

        def count(*given: Any, **named: Any) -> Any:
            made.append(name)
            return kept(*given, **named)

        monkeypatch.setattr(where, name, count)

    async with reached(rig, "http") as url, connect(url, protocol) as client:
        await client.call_tool("request-approval", ASKED)
        counted(GenerateSchema, "__init__")
        counted(schemas, "check_dialect")
        counted(schemas, "validators")
        counted(mcp.shared.inbound, "find_invalid_x_mcp_header")
        for version in range(5):
            await client.call_tool("request-approval", ASKED | {"details": {"version": version}})
    assert made == []
