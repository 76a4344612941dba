"""Two replicas on one PostgreSQL database behind nginx and Caddy, with the real client on every revision."""

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import postgres
import psycopg
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequestFormParams, ElicitResult
from proxies import proxy
from replicas import port, served, with_few_rights
from wires import PROTOCOLS, Person, accept, carried_out, connect, content

pytestmark = pytest.mark.anyio

PROXIES = ("nginx", "caddy")
SESSIONS = 6
PATIENCE = 60.0
"""Seconds until something that does not come fails the test, longer than anything here takes."""
LONG_SECONDS = 75.0 if os.environ.get("SOAK") else 0.1
"""How long a call waits: in the soak longer than a minute, after which nginx cuts off a stream that says nothing."""
YES = accept(decision="approve")
LUNCH = {"amount": 50, "description": "Lunch"}


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[str, str]]:
    """The endpoints of two replicas on a database of their own."""
    database = with_few_rights(postgres.database_of(tmp_path_factory.mktemp("replicas")))
    with ExitStack() as running:
        first, second = (running.enter_context(served(database))[0] for _ in range(2))
        yield first, second


@pytest.fixture(scope="module", params=PROXIES)
def behind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, replicas: tuple[str, str]
) -> Generator[str]:
    """The endpoint of a proxy in front of them."""
    with proxy(request.param, tmp_path_factory.mktemp("proxy"), *replicas) as url:
        yield url


@asynccontextmanager
async def raw() -> AsyncGenerator[httpx2.AsyncClient]:
    """HTTP without an SDK."""
    headers = {"accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http:
        yield http


async def begin(http: httpx2.AsyncClient, url: str) -> str:
    """Begin a session of an older revision; returns its id."""
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    answer = await send(http, url, "initialize", params)
    assert answer.status_code == 200, answer.text
    return answer.headers["mcp-session-id"]


async def send(
    http: httpx2.AsyncClient, url: str, method: str, params: dict[str, Any] | None = None, session: str | None = None
) -> httpx2.Response:
    """Send one request, in a session if it has one."""
    headers = {} if session is None else {"mcp-session-id": session, "mcp-protocol-version": "2025-06-18"}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
    return await http.post(url, json=body, headers=headers)


async def test_every_request_of_an_older_session_comes_to_the_replica_that_has_it(
    behind: str, replicas: tuple[str, str]
) -> None:
    async with raw() as http:
        sessions = [await begin(http, behind) for _ in range(SESSIONS)]
        assert {session.partition("-")[0] for session in sessions} == {port(replica) for replica in replicas}
        for session in [*sessions, *sessions]:
            assert (await send(http, behind, "ping", session=session)).status_code == 200
        for session in sessions:
            assert (await http.delete(behind, headers={"mcp-session-id": session})).status_code == 200
            ended = await send(http, behind, "ping", session=session)
            assert ended.status_code == 404
            assert "Initialize a new one" in ended.json()["error"]["message"]


async def test_a_proxy_that_mixes_sessions_up_is_told_how_not_to(replicas: tuple[str, str]) -> None:
    first, second = replicas
    async with raw() as http:
        session = await begin(http, first)
        assert (await send(http, first, "ping", session=session)).status_code == 200
        mixed_up = await send(http, second, "ping", session=session)
        assert mixed_up.status_code == 404  # as the specification says, so that clients begin a new session
        told = mixed_up.json()["error"]["message"]
        assert f"Mcp-Session-Id begins with {port(first)}-" in told
        assert "docs/deploy.md" in told
        for unknown in ("nonsense", "123456789-0", "x-y", f"{port(second)}-0"):
            answer = await send(http, second, "ping", session=unknown)
            assert (answer.status_code, unknown in answer.text) == (404, False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_form_in_the_middle_of_a_call_works_through_a_proxy(behind: str, protocol: str) -> None:
    done: list[str] = []

    async def one(number: int) -> None:
        person = Person(YES)
        async with connect(behind, protocol, person=person) as client:
            asked = {"title": "Do it", "kind": "action", "details": {"do": f"{protocol} {behind} {number}"}}
            held = content(await client.call_tool("request-approval", asked))
            decided = content(await client.call_tool("approve", {"id": held["id"]}))
            assert decided["status"] == "approved", decided
            assert len(person.shown) == 1
            done.append(held["id"])

    with anyio.fail_after(PATIENCE):
        # One after another: on 2026-07-28 nginx and Caddy send question and answer to different replicas then.
        for number in range(2):
            await one(number)
        async with anyio.create_task_group() as tasks:
            for number in range(2, 5):
                tasks.start_soon(one, number)
    assert len(set(done)) == 5


async def test_t40_a_wait_that_is_longer_than_the_proxys_patience_is_answered(behind: str) -> None:
    async def wait(client: Client) -> None:
        asked = {"title": "Do it", "details": {"do": f"it, {client.protocol_version} {behind}"}}
        held = content(await client.call_tool("request-approval", asked))
        still = await client.call_tool("wait-for-approval", {"id": held["id"], "timeout_seconds": LONG_SECONDS})
        assert content(still)["status"] == "pending"

    with anyio.fail_after(LONG_SECONDS + PATIENCE):
        async with connect(behind, PROTOCOLS[0]) as older, connect(behind, PROTOCOLS[-1]) as newer:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait, older)
                tasks.start_soon(wait, newer)


async def test_t31_names_of_other_machines_are_refused_through_a_proxy(behind: str) -> None:
    async with raw() as http:
        for host in ("evil.example", f"evil.example:{port(behind)}"):
            answer = await http.get(behind.replace("/mcp", "/healthz"), headers={"host": host})
            assert answer.status_code == 421
        assert (await http.get(behind.replace("/mcp", "/readyz"))).json() == {"status": "ok"}


@pytest.mark.parametrize("program", PROXIES)
async def test_clients_go_on_when_a_replica_is_killed_in_the_middle_of_a_call(program: str, tmp_path: Path) -> None:
    database = postgres.database_of(tmp_path)
    served_at = with_few_rights(database)
    shown = anyio.Event()

    async def look(form: ElicitRequestFormParams) -> ElicitResult:
        shown.set()
        await anyio.sleep_forever()
        raise AssertionError

    with ExitStack() as running:
        dies, process = running.enter_context(served(served_at))
        stays, _ = running.enter_context(served(served_at))
        url = running.enter_context(proxy(program, tmp_path, dies, stays))
        with anyio.fail_after(PATIENCE):
            async with connect(url, "2026-07-28") as agent, raw() as http:
                older = next(one for one in [await begin(http, url) for _ in range(4)] if one.startswith(port(dies)))
                held = content(await agent.call_tool("submit-expense", LUNCH))
                async with (
                    connect(dies, "2025-11-25", person=Person(look)) as there,
                    anyio.create_task_group() as tasks,
                ):
                    tasks.start_soon(_ask_in_vain, there, held["id"])
                    await shown.wait()
                    process.kill()  # and the call ends when it is dead
                # The person decides at the other one.
                async with connect(stays, "2025-06-18", person=Person(YES)) as person:
                    await person.call_tool("approve", {"id": held["id"]})
                # A session of the dead one ends with the number that has clients begin another one.
                answer = await send(http, url, "ping", session=older)
                assert answer.status_code == 404
                assert "Initialize a new session" in answer.json()["error"]["message"]
                assert (await send(http, url, "ping", session=await begin(http, url))).status_code == 200
                # The agent asks on, through the proxy, which has two replicas and one that lives.
                for _ in range(4):
                    ended = await carried_out(agent, held["id"])
                    assert (ended["status"], ended["outcome"]["state"]) == ("approved", "succeeded")
    with psycopg.connect(database) as db:
        assert db.execute("SELECT count(*) FROM mcp_hitl.expenses").fetchone() == (1,)


async def _ask_in_vain(client: Client, approval_id: str) -> None:
    with pytest.raises(MCPError):
        await client.call_tool("approve", {"id": approval_id})
