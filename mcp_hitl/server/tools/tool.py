"""The definition of a tool."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import mcp_types
from mcp_types import ToolAnnotations

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.protocols.mcp.call import Call, Outcome
from mcp_hitl.server.arguments import Arguments, parse, schema_of
from mcp_hitl.server.schemas import output

A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True)
class Tool(Generic[A]):
    """One tool: its description for the model, and the function that serves it."""

    name: str
    title: str
    description: str
    takes: type[A]
    returns: tuple[JsonObject, ...]
    serve: Callable[[Call, A], Awaitable[Outcome]]
    reads_only: bool = False
    idempotent: bool = False
    at_once: bool = False
    """True if it answers at once: it asks nobody, waits for nobody, and reports no progress."""

    @cached_property
    def definition(self) -> mcp_types.Tool:
        """The tool as `tools/list` shows it."""
        return mcp_types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=schema_of(self.takes),
            output_schema=output(*self.returns),
            annotations=ToolAnnotations(
                read_only_hint=self.reads_only,
                destructive_hint=False,
                idempotent_hint=self.reads_only or self.idempotent,
                open_world_hint=False,
            ),
        )

    async def run(self, call: Call) -> Outcome:
        """Check the arguments and serve the call.

        Raises:
            HitlError: the call is refused, and nothing was stored.
        """
        return await self.serve(call, parse(self.takes, call.params.arguments or {}))


AnyTool = Tool[Any]
