"""HTTP serves this machine alone: Host and Origin on every route, loopback only, and probes that tell the truth."""

import json
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from server.rig import GUARD_SECONDS, Rig, modern_request, reached
from wires import PROTOCOLS, connect, content, environment, launcher

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.server.endpoint import MOST_BYTES

pytestmark = pytest.mark.anyio

EVIL_HOSTS = [
    "evil.example",
    "evil.example:8765",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example@127.0.0.1:80@evil.example",
    "[::1].evil.example",
    "[::1",
    "0.0.0.0",
    "",
]


@pytest.mark.parametrize("path", ["/mcp", "/healthz", "/readyz", "/nowhere"])
async def test_t31_a_host_that_is_not_this_machine_is_refused_on_every_route(rig: Rig, path: str) -> None:
    async with reached(rig, "http") as url, httpx2.AsyncClient(base_url=url.removesuffix("/mcp")) as http:
        for host in EVIL_HOSTS:
            for method in ("GET", "POST", "DELETE", "OPTIONS"):
                response = await http.request(method, path, headers={"host": host})
                assert response.status_code == 421, (host, method)
        before = rig.rows()
        assert before["approvals"] == 0


async def test_a_host_that_is_this_machine_is_served(rig: Rig) -> None:
    async with reached(rig, "http") as url, httpx2.AsyncClient(base_url=url.removesuffix("/mcp")) as http:
        port = url.split(":")[-1].removesuffix("/mcp")
        for host in ("127.0.0.1", f"127.0.0.1:{port}", f"localhost:{port}", "LOCALHOST", f"[::1]:{port}"):
            for path in ("/healthz", "/readyz"):
                response = await http.get(path, headers={"host": host})
                assert (response.status_code, response.json()) == (200, {"status": "ok"}), host


async def test_two_hosts_in_one_request_are_refused(rig: Rig) -> None:
    async with reached(rig, "http") as url:
        port = int(url.split(":")[-1].removesuffix("/mcp"))
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")
            with anyio.fail_after(GUARD_SECONDS):
                answer = await stream.receive()
    assert answer.split()[1] in (b"400", b"421")


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://127.0.0.1.evil.example", "null", "http://localhost.evil.example", "file://"],
)
async def test_an_origin_that_is_not_this_machine_is_refused(rig: Rig, origin: str) -> None:
    params = {"name": "submit-expense", "arguments": {"amount": 1, "description": "evil"}}
    body, headers = modern_request("tools/call", params, "submit-expense")
    async with reached(rig, "http") as url, httpx2.AsyncClient() as http:
        response = await http.post(url, json=body, headers=headers | {"origin": origin})
        assert response.status_code == 403
        assert rig.rows()["approvals"] == 0
        for own in ("http://localhost", "http://127.0.0.1:6274", "http://[::1]:6274"):
            response = await http.post(url, json=body, headers=headers | {"origin": own})
            assert response.status_code == 200, own
    assert rig.rows()["approvals"] == 1


@pytest.mark.parametrize("told", [True, False], ids=["told before", "in chunks"])
@pytest.mark.parametrize("protocol", ["2025-06-18", "2026-07-28"])
async def test_t37_a_message_beyond_the_limit_is_refused_with_what_it_is(rig: Rig, told: bool, protocol: str) -> None:
    params = {"name": "submit-expense", "arguments": {"amount": 1, "description": "x" * MOST_BYTES}}
    body, headers = modern_request("tools/call", params, "submit-expense")
    whole = json.dumps(body).encode()

    async def chunks() -> AsyncGenerator[bytes]:
        for start in range(0, len(whole), 65_536):
            yield whole[start : start + 65_536]

    sent = headers | {"mcp-protocol-version": protocol, "content-type": "application/json"}
    async with reached(rig, "http") as url, httpx2.AsyncClient() as http:
        refused = await http.post(url, content=whole if told else chunks(), headers=sent)
        assert refused.status_code == 413
        error = refused.json()["error"]
        assert error["message"].startswith("A message may have at most 4,194,304 bytes.")
        assert rig.rows()["approvals"] == 0
        params["arguments"] = {"amount": 1, "description": "x"}
        body, headers = modern_request("tools/call", params, "submit-expense")
        assert (await http.post(url, json=body, headers=headers)).status_code == 200
    assert rig.rows()["approvals"] == 1


async def test_not_ready_is_told_apart_from_not_alive(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(work: object) -> None:
        raise Unavailable("The disk is full.")

    monkeypatch.setattr(rig.desk, "read", down)
    async with reached(rig, "http") as url, httpx2.AsyncClient(base_url=url.removesuffix("/mcp")) as http:
        assert (await http.get("/healthz")).status_code == 200
        ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()["message"]) == (503, "The disk is full.")


@pytest.mark.parametrize("host", ["0.0.0.0", "evil.example"])
def test_another_address_than_loopback_is_refused(tmp_path: Path, host: str) -> None:
    done = subprocess.run(
        launcher("--db", str(tmp_path / "hitl.db"), "serve", "--host", host, "--port", "0"),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=GUARD_SECONDS,
    )
    assert done.returncode == 2
    assert "127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "hitl.db").exists()


async def test_clients_on_every_revision_share_one_endpoint_and_one_desk(rig: Rig) -> None:
    async with reached(rig, "http") as url:
        ids: list[Any] = []
        for number, protocol in enumerate(PROTOCOLS, start=1):
            async with connect(url, protocol) as client:
                opened = await client.call_tool("submit-expense", {"amount": number, "description": "x"})
                ids.append(content(opened)["id"])
                listed = content(await client.call_tool("list-pending", {}))
                assert [approval["id"] for approval in listed["approvals"]] == ids
