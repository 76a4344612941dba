"""A tool's result, and the one table that turns errors into MCP."""

import logging
from dataclasses import dataclass

from mcp_types import CallToolResult, TextContent

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.domain.values.text import in_order

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful result: structured content, and the same facts as short text."""

    content: JsonObject
    text: str

    def as_result(self) -> CallToolResult:
        """Return the reply as an MCP result."""
        return CallToolResult(
            content=[TextContent(type="text", text=in_order(self.text))], structured_content=self.content
        )


def error_result(error: Exception) -> CallToolResult:
    """Return a tool error that the caller can act on: its stable code, and a message that says what to do next."""
    if isinstance(error, HitlError):
        code, message = error.code, str(error)
    else:
        logger.error("a tool failed", exc_info=error)
        code, message = "internal", "The server failed; see its log. Call get-approval to see what is stored."
    return CallToolResult(
        content=[TextContent(type="text", text=in_order(message))],
        structured_content={"code": code, "message": message},
        is_error=True,
    )
