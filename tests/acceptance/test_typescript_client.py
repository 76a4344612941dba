"""The TypeScript SDK v1 as a client, which checks structured content against output schemas, on errors too."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from node import TYPESCRIPT, require_node
from proxies import proxy
from wires import http_server, launcher, unmeasured

from mcp_hitl.server.tools import TOOLS

require_node()

Told = dict[str, Any]
NOBODY = "apr_00000000000000000000000000"


class TypeScriptClient:
    """A running `client.mjs`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Talk to `process`."""
        self._process = process

    def call(self, tool: str, arguments: Told, answer: Told | None = None) -> Told:
        """Call a tool and wait for its result; `answer` goes to every form meanwhile."""
        self.begin(tool, arguments, answer)
        return self.hear()

    def begin(self, tool: str, arguments: Told, answer: Told | None = None) -> None:
        """Call a tool."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"tool": tool, "arguments": arguments, "answer": answer}) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Told:
        """The next thing that the client reports."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ok(self, tool: str, arguments: Told, answer: Told | None = None) -> Told:
        """Call a tool that must succeed; its structured content."""
        told = self.call(tool, arguments, answer)
        assert told.get("isError") is False, told
        return told["content"]


@contextmanager
def typescript(*target: str, forms: bool = True) -> Generator[TypeScriptClient]:
    """A TypeScript client on a URL or a command."""
    process = subprocess.Popen(
        ["node", "client.mjs", "forms" if forms else "no-forms", *target],
        cwd=TYPESCRIPT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=unmeasured(),
    )
    client = TypeScriptClient(process)
    try:
        assert set(client.hear()["tools"]) == set(TOOLS)
        yield client
        process.communicate(timeout=20)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@contextmanager
def target(transport: str, stdio: list[str], http: list[str]) -> Generator[list[str]]:
    """What to hand to `typescript`: the command, or the URL of a server that was started with the other command."""
    if transport == "stdio":
        yield stdio
        return
    process = subprocess.Popen(http, stderr=subprocess.PIPE, text=True, env=unmeasured())
    assert process.stderr is not None
    try:
        yield [next(line.split()[-1] for line in process.stderr if "MCP endpoint" in line)]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[list[str]]:
    """The server on both transports."""
    here = launcher("--db", str(tmp_path / "hitl.db"))
    with target(request.param, here, [*here, "serve", "--port", "0"]) as reached:
        yield reached


@pytest.fixture(params=["stdio", "http"])
def hasty(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[list[str]]:
    """A server that withdraws its forms at once."""
    script, database = str(Path(__file__).with_name("hasty.py")), str(tmp_path / "hitl.db")
    commands = [[sys.executable, script, transport, database] for transport in ("stdio", "http")]
    with target(request.param, *commands) as reached:
        yield reached


def accept(**content: Any) -> Told:
    return {"action": "accept", "content": content}


@pytest.mark.parametrize("program", ["nginx", "caddy"])
def test_the_typescript_client_comes_back_to_its_replica_through_a_proxy(program: str, tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    with http_server(database) as (first, _), http_server(database) as (second, _):
        with proxy(program, tmp_path, first, second) as url, typescript(url) as one, typescript(url) as other:
            for client in (one, other):
                held = client.ok("request-approval", {"title": "Do it", "details": {"do": f"it, {client}"}})
                assert client.ok("approve", {"id": held["id"]}, accept(decision="approve"))["status"] == "approved"


def test_a_person_answers_forms_in_the_typescript_client(server: list[str]) -> None:
    with typescript(*server) as client:
        counted = client.call("increase-counter", {"confirm": True}, accept(amount=5))
        assert counted["content"] == {"counter": 5, "increased_by": 5}
        assert counted["text"] == "Counter increased by 5, now at 5"
        assert counted["shown"][0]["schema"]["properties"]["amount"]["type"] == "number"

        assert client.call("increase-counter", {"confirm": True}, {"action": "decline"})["text"] == "Declined."
        assert client.call("increase-counter", {"confirm": True}, {"action": "cancel"})["text"] == "Cancelled."
        assert client.call("increase-counter", {"confirm": False})["text"] == "Cancelled."

        malformed = client.call("increase-counter", {"confirm": True}, accept(amount="five"))
        assert malformed["isError"] and malformed["content"]["code"] == "invalid"
        assert "amount must be a number" in malformed["text"] and "still pending" in malformed["text"]
        assert client.call("increase-counter", {"confirm": True}, accept())["content"]["code"] == "invalid"

        expense = client.ok("submit-expense", {"amount": 50, "description": "Lunch"})
        closed = client.ok("approve", {"id": expense["id"]}, {"action": "decline"})
        assert closed["status"] == "pending"
        told = client.call("approve", {"id": expense["id"]}, accept(decision="approve", comment="Enjoy."))
        assert told["content"]["status"] == "approved" and '"description": "Lunch"' in told["shown"][0]["message"]
        assert client.ok("wait-for-approval", {"id": expense["id"]})["decisions"][0]["comment"] == "Enjoy."

        form = {"properties": {"where": {"type": "string", "enum": ["in", "out"]}}, "required": ["where"]}
        answered = client.ok("ask-human", {"question": "Where?", "form": form}, accept(where="out"))
        assert (answered["status"], answered["answer"]) == ("approved", {"where": "out"})
        trail = client.ok("audit-trail", {"id": expense["id"]})
        assert trail["verified"] is True
        # The flow's own entries come between and after these, when the server gets to it.
        flows_own = {"progress", "started", "succeeded"}
        events = [entry["event"] for entry in trail["entries"]]
        assert [event for event in events if event not in flows_own] == ["opened", "decided", "approved"]
        listed = client.ok("list-pending", {})["approvals"]  # the two whose answers did not fit
        assert [approval["kind"] for approval in listed] == ["counter", "counter"]


def test_errors_of_every_kind_reach_the_typescript_client_with_their_text(server: list[str]) -> None:
    with typescript(*server) as client:
        expense = client.ok("submit-expense", {"amount": 50, "description": "Lunch"})
        client.ok("reject", {"id": expense["id"], "reason": "No."}, accept(decision="reject"))
        keyed = {"description": "Dinner", "dedup_key": "dinner"}
        client.ok("submit-expense", {"amount": 60} | keyed)
        cases: list[tuple[str, str, Told, str]] = [
            ("invalid", "submit-expense", {"amount": "50000", "description": "Lunch"}, "amount"),
            ("invalid", "submit-expense", {"amount": 50}, "description"),
            ("invalid", "request-approval", {"title": "T", "details": {}, "kind": "none"}, "no such kind"),
            ("not_found", "get-approval", {"id": NOBODY}, "no approval with this id"),
            ("not_found", "audit-trail", {"id": "lunch"}, "no approval with this id"),
            ("already_resolved", "approve", {"id": expense["id"]}, f"{expense['id']} was rejected by "),
            ("already_resolved", "cancel-approval", {"id": expense["id"]}, "nothing was changed"),
            ("conflict", "submit-expense", {"amount": 61} | keyed, "dedup_key belongs to"),
        ]
        for code, tool, arguments, says in cases:
            told = client.call(tool, arguments)
            assert told.get("isError"), told
            assert told["content"] == {"code": code, "message": told["text"]} and says in told["text"]


def test_without_forms_the_typescript_client_gets_pending_questions_and_no_decisions(server: list[str]) -> None:
    with typescript(*server, forms=False) as client:
        for tool, arguments in (("increase-counter", {"confirm": True}), ("ask-human", {"question": "Where?"})):
            assert client.ok(tool, arguments)["status"] == "pending"
        expense = client.ok("submit-expense", {"amount": 50, "description": "Lunch"})
        refused = client.call("approve", {"id": expense["id"]})
        assert refused["content"]["code"] == "needs_person" and "still pending" in refused["text"]
        assert client.ok("list-pending", {})["total"] == 3


def test_a_form_that_nobody_answers_is_withdrawn_from_the_typescript_client(hasty: list[str]) -> None:
    with typescript(*hasty) as client:
        client.begin("increase-counter", {"confirm": True})
        assert "waiting" in client.hear()
        told = client.hear()
        assert told["content"]["status"] == "pending" and told["shown"][0]["withdrawn"], told
        again = client.call("increase-counter", {"confirm": True}, accept(amount=2))
        assert again["content"] == {"counter": 2, "increased_by": 2}


def test_a_decision_made_elsewhere_closes_the_typescript_clients_form(server: list[str]) -> None:
    with typescript(*server) as asked, typescript(*server) as other:
        expense = asked.ok("submit-expense", {"amount": 50, "description": "Lunch"})
        asked.begin("approve", {"id": expense["id"]})
        assert '"description": "Lunch"' in asked.hear()["waiting"]
        other.ok("approve", {"id": expense["id"]}, accept(decision="approve"))
        told = asked.hear()
        assert told["content"]["code"] == "already_resolved" and told["shown"][0]["withdrawn"], told
