"""A desk on a real database, a server on it in this process, and the ways in which a client can reach it."""

import json
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import httpx2
from jsonschema import Draft202012Validator
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitRequestURLParams, ElicitResult, InputRequiredResult
from server.shapes import shape_of
from warm import warm
from wires import environment, unmeasured

from mcp_hitl.cli.serve import serve_http
from mcp_hitl.config.policy_file import parse
from mcp_hitl.desk import Desk
from mcp_hitl.desk.timekeeping import system_clock
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK, Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.desk_views import views_of
from mcp_hitl.process.workers import serve
from mcp_hitl.protocols.mcp.call import FORM_SECONDS
from mcp_hitl.protocols.mcp.callers import Identify, always
from mcp_hitl.server.app import ApprovalServer
from mcp_hitl.server.tools import TOOLS
from mcp_hitl.store.sqlite import SqliteStore

KEY = b"a key for tests, of 32 bytes or more"
INBOX = "in a terminal, `mcp-hitl pending` lists what waits"
OLDER = ("2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
GUARD_SECONDS = 20
"""Longer than anything here takes: what runs into it hangs."""

PATIENCE = 60.0
"""Seconds until a process of its own that says nothing fails the test: starting one is long on a busy machine."""
SHORT_FORMS = Path(__file__).with_name("short_forms.py")
"""The program, with forms that are withdrawn at once."""


class Clock:
    """The present, moved as the test says."""

    def __init__(self) -> None:
        """Begin now."""
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """The desk's clock."""
        return system_clock() + self.ahead


class Rig:
    """What a test works with: the desk, the server on it, and a second desk that stands for another process."""

    def __init__(
        self, database: Path, form_seconds: float = FORM_SECONDS, *, policy: str = "", flows: bool = False
    ) -> None:
        """Open `database`, under the `policy` of a file with this text; `flows` carries out what is approved."""
        self.database = database
        self.clock = Clock()
        self.store = SqliteStore(database)
        self.flows = flows
        rulebook = parse(policy).rulebook
        self.desk = Desk(self.store, effects=EFFECTS, rulebook=rulebook, clock=self.clock)
        self.views = views_of(self.desk, inbox=INBOX)
        self.other_store = SqliteStore(database)
        self.elsewhere = Desk(self.other_store, effects=EFFECTS, rulebook=rulebook, clock=self.clock)
        self.server = self.serving_as(LOOPBACK, form_seconds=form_seconds)

    def serving_as(self, caller: Principal, *, key: bytes = KEY, form_seconds: float = FORM_SECONDS) -> ApprovalServer:
        """Another server on this desk."""
        return ApprovalServer(self.desk, always(caller), views=self.views, key=key, form_seconds=form_seconds)

    def asking(self, identify: Identify) -> ApprovalServer:
        """Another server on this desk, which asks for the caller of each request."""
        return ApprovalServer(self.desk, identify, views=self.views, key=KEY)

    @property
    def desk_principal(self) -> Principal:
        """Whoever is at this machine: the requester over HTTP, and somebody who may decide."""
        return LOOPBACK

    async def opened(self, kind: str = "action", payload: JsonObject | None = None, **options: Any) -> Approval:
        """An approval that waits, asked for by the client's own principal."""
        return await self.desk.approvals.submit(LOOPBACK, kind, {"do": "it"} if payload is None else payload, **options)

    async def decide(
        self, approval_id: str, verdict: Verdict = Verdict.APPROVE, *, desk: Desk | None = None, **options: Any
    ) -> Approval:
        """Decide at the other desk, as a person at the terminal would."""
        desk = desk or self.elsewhere
        approval = await desk.approvals.get(LOOPBACK, approval_id)
        return await desk.decisions.decide(LOOPBACK, Shown.of(approval), verdict, assurance=Assurance.LOCAL, **options)

    async def count(self, amount: int) -> None:
        """Bring the counter somewhere."""
        question = await self.opened("counter", {})
        await self.decide(question.id, answer={"amount": amount})

    async def status(self, approval_id: str) -> Status:
        """How an approval stands."""
        return (await self.desk.approvals.get(LOOPBACK, approval_id)).seen_at(self.clock())

    def rows(self) -> dict[str, Any]:
        """How much is stored; two equal answers mean that nothing was."""
        db = sqlite3.connect(self.database)
        try:
            counts: dict[str, Any] = {
                table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("approvals", "decisions", "audit")
            }
            return counts | {"counter": db.execute("SELECT value FROM counter").fetchone()[0]}
        finally:
            db.close()

    @property
    def listening(self) -> int:
        """How many hang on the change feed."""
        return self.desk.feed._count  # pyright: ignore[reportPrivateUsage]

    async def nobody_listens(self) -> None:
        """Return once nobody hangs on the feed any more."""
        await eventually(lambda: self.listening == 0)

    async def somebody_listens(self) -> None:
        """Return once somebody does."""
        await eventually(lambda: self.listening > 0)


async def eventually(holds: Callable[[], bool]) -> None:
    """Let the loop run until `holds`, where nothing tells of it."""
    with anyio.fail_after(GUARD_SECONDS):
        while not holds():
            await anyio.lowlevel.checkpoint()
            await anyio.sleep(0.001)


@asynccontextmanager
async def a_rig(database: Path, **options: Any) -> AsyncGenerator[Rig]:
    """A rig whose desk follows the feed."""
    rig = Rig(database, **options)
    try:
        async with serve(rig.desk) if rig.flows else rig.desk.open():
            yield rig
    finally:
        await rig.store.close()
        await rig.other_store.close()


@asynccontextmanager
async def listening(server: ApprovalServer) -> AsyncGenerator[str]:
    """Serve over HTTP from this process; gives the endpoint."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        ready, ended = anyio.Event(), anyio.Event()
        urls: list[str] = []

        def note(address: Origin) -> None:
            urls.append(f"{address}/mcp")
            ready.set()

        async def serve() -> None:
            try:
                assert await serve_http(server, "localhost", 0, ready=note)
            finally:
                ended.set()

        tasks.start_soon(serve)
        with anyio.fail_after(GUARD_SECONDS):
            await ready.wait()
        try:
            yield urls[0]
        finally:
            signal.raise_signal(signal.SIGTERM)
            with anyio.CancelScope(shield=True), anyio.move_on_after(GUARD_SECONDS):
                await ended.wait()


@asynccontextmanager
async def reached(rig: Rig, transport: str) -> AsyncGenerator[Any]:
    """What a client connects to: `rig.server` in memory or over HTTP, or a process of its own on the same file."""
    if transport == "http":
        async with listening(rig.server) as url:
            yield url
    else:
        yield rig.database if transport == "stdio" else rig.server.mcp


def short_forms(database: Path) -> StdioServerParameters:
    """A process whose forms are withdrawn at once."""
    command, *arguments = [sys.executable, str(SHORT_FORMS), "--db", str(database)]
    return StdioServerParameters(command=command, args=arguments, env=unmeasured())


@cache
def _validators(name: str) -> list[Draft202012Validator]:
    published = TOOLS[name].definition.output_schema
    assert published is not None
    for schema in (published, shape_of(name)):
        Draft202012Validator.check_schema(schema)
    checker = Draft202012Validator.FORMAT_CHECKER
    return [Draft202012Validator(schema, format_checker=checker) for schema in (published, shape_of(name))]


def valid(name: str, result: CallToolResult) -> CallToolResult:
    """`result`, once it is known to satisfy the tool's published output schema and its whole shape, errors included."""
    for validator in _validators(name):
        validator.validate(result.structured_content)  # pyright: ignore[reportUnknownMemberType]
    return result


async def refused(client: Client, name: str, arguments: dict[str, Any], code: str) -> str:
    """Call a tool that must refuse with `code`; gives what it says."""
    result = valid(name, await client.call_tool(name, arguments))
    assert result.is_error
    assert result.structured_content is not None
    [block] = result.content
    assert block.type == "text"
    assert result.structured_content == {"code": code, "message": block.text}
    assert "Traceback" not in block.text
    return block.text


class Rounds:
    """A tool call on 2026-07-28, driven by hand: the form or page it asks for, and answers as often as one likes."""

    def __init__(self, client: Client, name: str, arguments: dict[str, Any]) -> None:
        """Call `name` through `client`."""
        self.client = client
        self.name = name
        self.arguments = arguments
        self.state: str | None = None
        self.form: ElicitRequestFormParams | None = None

    async def ask(self) -> ElicitRequestFormParams:
        """The first round; gives the form."""
        self.form = await self._asked()
        assert isinstance(self.form, ElicitRequestFormParams)
        return self.form

    async def sent(self) -> ElicitRequestURLParams:
        """The first round; gives the page that the person is sent to."""
        page = await self._asked()
        assert isinstance(page, ElicitRequestURLParams)
        return page

    async def retry(self) -> CallToolResult:
        """Call again without an answer, where that gives a result."""
        result = await self._send(None, self.state)
        assert isinstance(result, CallToolResult)
        return result

    async def _asked(self) -> Any:
        result = await self._send(None, self.state)
        assert isinstance(result, InputRequiredResult)
        assert result.input_requests is not None
        [request] = result.input_requests.values()
        self.state = result.request_state
        return request.params

    async def answer(self, given: ElicitResult, *, client: Client | None = None) -> CallToolResult:
        """A second round."""
        result = await self._send(given, self.state, client)
        assert isinstance(result, CallToolResult)
        return result

    async def _send(self, given: ElicitResult | None, state: str | None, client: Client | None = None) -> Any:
        return await (client or self.client).session.call_tool(
            self.name,
            self.arguments,
            input_responses=None if given is None else {"answer": given},
            request_state=state,
            allow_input_required=True,
        )


class Pipes:
    """A client that writes lines to a server process by hand, right or wrong."""

    def __init__(self, process: anyio.abc.Process) -> None:
        """Talk to `process`."""
        self.process = process
        self._held = b""
        self._count = 0
        self._since = time.monotonic()
        self.seen: list[JsonObject] = []
        self.starting = 0.0
        """The seconds until it said something."""

    async def write(self, line: bytes | Mapping[str, Any]) -> None:
        """One line."""
        assert self.process.stdin is not None
        await self.process.stdin.send((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")

    async def read(self) -> JsonObject:
        """The next message."""
        assert self.process.stdout is not None
        with anyio.fail_after(PATIENCE):
            while b"\n" not in self._held:
                self._held += await self.process.stdout.receive()
        line, _, self._held = self._held.partition(b"\n")
        message: JsonObject = json.loads(line)
        self.starting = self.starting or time.monotonic() - self._since
        self.seen.append(message)
        return message

    async def read_until(self, wanted: Callable[[JsonObject], bool]) -> JsonObject:
        """The next message that is `wanted`; the others are in `seen`."""
        while not wanted(message := await self.read()):
            pass
        return message

    async def request(self, method: str, **params: Any) -> int:
        """Send a request; gives its id."""
        self._count += 1
        await self.write({"jsonrpc": "2.0", "id": self._count, "method": method, "params": params})
        return self._count

    async def result(self, number: int) -> JsonObject:
        """The answer to a request."""
        return await self.read_until(lambda message: message.get("id") == number and "method" not in message)

    async def call(self, name: str, **arguments: Any) -> JsonObject:
        """Call a tool; gives its result."""
        return (await self.result(await self.request("tools/call", name=name, arguments=arguments)))["result"]

    async def shake_hands(self, protocol: str = OLDER[-1], **capabilities: Any) -> None:
        """The handshake of the older revisions."""
        number = await self.request(
            "initialize",
            protocolVersion=protocol,
            capabilities=capabilities,
            clientInfo={"name": "by hand", "version": "1"},
        )
        assert (await self.result(number))["result"]["protocolVersion"] == protocol
        await self.write({"jsonrpc": "2.0", "method": "notifications/initialized"})


@asynccontextmanager
async def pipes(database: Path, command: list[str] | None = None) -> AsyncGenerator[Pipes]:
    """A server process to write lines to; it is told to end, and killed where it does not."""
    async with await anyio.open_process(
        command or warm("--db", str(database)), stderr=None, env=environment()
    ) as process:
        try:
            yield Pipes(process)
        finally:
            if process.returncode is None and process.stdin is not None:
                await process.stdin.aclose()
                with anyio.move_on_after(GUARD_SECONDS):
                    await process.wait()
            if process.returncode is None:
                process.kill()


def modern_request(method: str, params: JsonObject, name: str | None = None) -> tuple[JsonObject, dict[str, str]]:
    """The body and the headers of a request on 2026-07-28, from a client that shows forms."""
    meta: JsonObject = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "by hand", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    }
    body: JsonObject = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": meta}}
    headers = {
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": MODERN,
        "mcp-method": method,
    }
    return body, headers | ({"mcp-name": name} if name else {})


async def post(url: str, method: str, params: JsonObject, name: str | None = None, **replaced: str) -> JsonObject:
    """POST a request on 2026-07-28 by hand; gives the last message of the answer.

    What stands in the body as the text `"NAME"` is replaced by that keyword's raw JSON.
    """
    body, headers = modern_request(method, params, name)
    content = json.dumps(body)
    for mark, raw in replaced.items():
        content = content.replace(f'"{mark}"', raw)
    async with httpx2.AsyncClient(timeout=GUARD_SECONDS) as client:
        response = await client.post(url, content=content, headers=headers)
    if response.headers["content-type"].startswith("text/event-stream"):
        return json.loads([line for line in response.text.splitlines() if line.startswith("data:")][-1][5:])
    return response.json()
