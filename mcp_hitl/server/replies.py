"""What a tool answers, and the one table from errors to MCP."""

import logging
from dataclasses import dataclass

from mcp_types import CallToolResult, TextContent

from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.errors import HitlError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """A success: structured content, and the same facts as short text."""

    content: JsonObject
    text: str

    def as_result(self) -> CallToolResult:
        """The reply on the wire."""
        return CallToolResult(content=[TextContent(type="text", text=self.text)], structured_content=self.content)


def error_result(error: Exception) -> CallToolResult:
    """A tool error that the caller can act on: its stable code, and a sentence that says what to do next."""
    if isinstance(error, HitlError):
        code, message = error.code, str(error)
    else:
        logger.error("a tool failed", exc_info=error)
        code, message = "internal", "The server failed at this; see its log. Look with get-approval at what is stored."
    return CallToolResult(
        content=[TextContent(type="text", text=message)],
        structured_content={"code": code, "message": message},
        is_error=True,
    )
