"""Real clients on real wires: every protocol revision, over stdio and over HTTP, with a scripted person behind them."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import mcp.client.session
from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.session import ClientRequestContext, ElicitationFnT, MessageHandlerFnT
from mcp_types import (
    CallToolResult,
    ClientCapabilities,
    ElicitationCapability,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitRequestURLParams,
    ElicitResult,
    FormElicitationCapability,
)
from warm import warm

from mcp_hitl.config.location import Location

PROTOCOLS = ("2025-06-18", "2025-11-25", "2026-07-28")
TRANSPORTS = ("stdio", "http")
_PROMPT_SECONDS = 3.0

Answer = Callable[[ElicitRequestFormParams], Awaitable[ElicitResult] | ElicitResult]
Visit = Callable[[ElicitRequestURLParams], Awaitable[ElicitResult] | ElicitResult]


def accept(**content: Any) -> ElicitResult:
    """The person fills in the form."""
    return ElicitResult(action="accept", content=content)


AGREE = ElicitResult(action="accept")
"""The person goes to the page that they are sent to."""
DECLINE = ElicitResult(action="decline")
CANCEL = ElicitResult(action="cancel")


class Person:
    """Answers forms as the test says, goes to pages if it says so, and remembers what they were shown."""

    def __init__(self, answer: Answer | ElicitResult, visit: Visit | ElicitResult | None = None) -> None:
        """Give `answer` to every form, and `visit` to every page, or what these return for it."""
        self.answer = answer
        self.visit = visit
        self.shown: list[ElicitRequestFormParams] = []
        self.sent: list[ElicitRequestURLParams] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """The client's elicitation callback."""
        if isinstance(params, ElicitRequestURLParams):
            self.sent.append(params)
            assert self.visit is not None
            given = self.visit if isinstance(self.visit, ElicitResult) else self.visit(params)
        else:
            self.shown.append(params)
            given = self.answer if isinstance(self.answer, ElicitResult) else self.answer(params)
        return given if isinstance(given, ElicitResult) else await given


def promptly(starting: float) -> float:
    """The seconds within which a process has ended or gone on, where it took `starting` to answer at first.

    A machine that is busy is slow at both.
    """
    return max(_PROMPT_SECONDS, 2 * starting)


def launcher(*arguments: str) -> list[str]:
    """The command that starts this program in the environment that runs the tests."""
    return [sys.executable, "-m", "mcp_hitl", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without settings of ours, and with `variables`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MCP_HITL_")} | variables


def unmeasured(**variables: str) -> dict[str, str]:
    """The same without the measuring of coverage, which costs a process up to half of its time.

    For those that are killed, and so tell nothing of it, and those whose code is run in this process too.
    """
    return {name: value for name, value in environment(**variables).items() if not name.startswith("COVERAGE_")}


@contextmanager
def http_server(
    database: Path | str,
    *arguments: str,
    variables: Mapping[str, str] | None = None,
    start: Callable[..., list[str]] = warm,
) -> Generator[tuple[str, "subprocess.Popen[str]"]]:
    """Run `mcp-hitl serve` on a free port; gives its endpoint and its process, which is killed in the end.

    A test that needs it dead the moment it is killed starts it with `launcher`.
    """
    process = subprocess.Popen(
        start("--db", str(database), "serve", "--port", "0", *arguments),
        stderr=subprocess.PIPE,
        text=True,
        env=unmeasured() if variables is None else variables,
    )
    assert process.stderr is not None
    try:
        url = next(line.split()[-1] for line in process.stderr if "MCP endpoint" in line)
        yield url, process
    finally:
        process.kill()
        process.communicate()


_DECLARED = ClientSession._build_capabilities  # pyright: ignore[reportPrivateUsage]


def _declared(self: ClientSession, version: str) -> ClientCapabilities:
    """What a client declares: no pages where its person goes to none, whatever inbox may run. The SDK declares both."""
    declared = _DECLARED(self, version)
    person = self._elicitation_callback  # pyright: ignore[reportPrivateUsage]
    if declared.elicitation is None or getattr(person, "visit", None) is not None:
        return declared
    return declared.model_copy(update={"elicitation": ElicitationCapability(form=FormElicitationCapability())})


# For good, and not around each connection: several connect at once.
ClientSession._build_capabilities = _declared  # pyright: ignore[reportPrivateUsage]


@asynccontextmanager
async def connect(
    server: Any,
    protocol: str,
    *,
    person: ElicitationFnT | None = None,
    on_message: MessageHandlerFnT | None = None,
    **options: Any,
) -> AsyncGenerator[Client]:
    """A client on `protocol`, to a URL, a database path (stdio), or a server in this process."""
    target: Any = server
    if isinstance(server, (Path, Location)):
        where = server.written if isinstance(server, Location) else str(server)
        command, *arguments = warm("--db", where)
        keys = {} if Location(where).file is not None else {"MCP_HITL_KEY": "ab" * 32}  # a file has one beside it
        target = StdioServerParameters(command=command, args=arguments, env=unmeasured(**keys))
    modern = protocol == PROTOCOLS[-1]
    client = Client(
        target,
        mode=protocol if modern else "legacy",
        elicitation_callback=person,
        message_handler=on_message,
        **options,
    )
    with mock.patch.object(mcp.client.session, "LATEST_HANDSHAKE_VERSION", protocol):
        await client.__aenter__()
    try:
        assert client.protocol_version == protocol
        yield client
    finally:
        await client.__aexit__(None, None, None)


@contextmanager
def served(transport: str, database: Path) -> Generator[Any]:
    """What to connect to for a server on `database`: a URL for "http", the path for "stdio" (a process per client)."""
    if transport == "stdio":
        yield database
    else:
        with http_server(database) as (url, _):
            yield url


def content(result: CallToolResult) -> Mapping[str, Any]:
    """The structured content of a result, which every tool has."""
    assert result.structured_content is not None
    return result.structured_content


async def carried_out(client: Client, approval_id: str) -> Mapping[str, Any]:
    """The approval, once its outcome is known; whoever has to hurry sets a limit around this."""
    while True:
        approval = content(await client.call_tool("get-approval", {"id": approval_id}))
        if approval["outcome"]["state"] not in {"none", "running"}:
            return approval


def text(result: CallToolResult) -> str:
    """The text of a result."""
    [block] = result.content
    assert block.type == "text"
    return block.text
