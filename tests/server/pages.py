"""A rig with an inbox that it only knows the address of: the pages themselves are no matter of the server's."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp_types import ClientCapabilities, ElicitationCapability, ElicitCompleteNotification, UrlElicitationCapability
from server.rig import GUARD_SECONDS, MODERN, OLDER, Rig, reached
from warm import warm
from wires import unmeasured

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.values.origin import Origin

ADDRESS = Origin("http", "localhost", 8765)
WITH_PAGES = (OLDER[-1], MODERN)
"""The revisions on which a client can be asked to open a page."""


def page(approval: Approval) -> str:
    """Where its page is."""
    return f"{ADDRESS}/approvals/{approval.id}"


def call_for(tool: str, approval: Approval) -> tuple[str, dict[str, Any]]:
    """The arguments with which a tool puts an approval to the person."""
    more: dict[str, dict[str, Any]] = {"reject": {"reason": "so"}, "edit-approval": {"payload": {"do": "more"}}}
    return tool, {"id": approval.id, **more.get(tool, {})}


def program(rig: Rig) -> list[str]:
    """The command that serves the rig's database on stdio, where it finds the inbox that the rig has announced."""
    return warm("--db", str(rig.database))


async def announced(rig: Rig) -> None:
    """Have all processes on the rig's database know of an inbox."""
    assert rig.desk.inbox.take_inbox()
    await rig.desk.inbox.announce_inbox(ADDRESS)


@asynccontextmanager
async def with_pages(rig: Rig, transport: str) -> AsyncGenerator[Any]:
    """What a client connects to; the rig has taken the inbox then, so that nobody else serves it."""
    await announced(rig)
    async with reached(rig, transport) as target:
        if transport == "stdio":
            command, *arguments = program(rig)
            target = StdioServerParameters(command=command, args=arguments, env=unmeasured())
        yield target


def opens_only_pages(patching: pytest.MonkeyPatch) -> None:
    """Make every client one that shows no forms."""
    declared = ClientCapabilities(elicitation=ElicitationCapability(url=UrlElicitationCapability()))

    def build(_session: ClientSession, _protocol: str) -> ClientCapabilities:
        return declared

    patching.setattr(ClientSession, "_build_capabilities", build)


class Ear:
    """Hears that pages were answered."""

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self.completed: list[str] = []
        self._heard = anyio.Event()

    async def __call__(self, message: Any) -> None:
        """The client's message handler."""
        if isinstance(message, ElicitCompleteNotification):
            self.completed.append(message.params.elicitation_id)
            self._heard.set()

    async def once(self) -> str:
        """The id of the one page that was answered."""
        with anyio.fail_after(GUARD_SECONDS):
            await self._heard.wait()
        [mark] = self.completed
        return mark
