"""A server of the bare MCP SDK with one tool, whose result is the first line of the input: what a call must cost."""

import sys
from typing import Any

import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams

from mcp_hitl.protocols.http.sockets import listening
from mcp_hitl.server.tools.requests import REQUEST_APPROVAL


def main() -> None:
    """Serve until killed; say where on standard output."""
    result = CallToolResult.model_validate_json(sys.stdin.readline())
    listed = ListToolsResult(tools=[REQUEST_APPROVAL.definition])

    async def list_tools(_: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None) -> ListToolsResult:
        return listed

    async def call_tool(_: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        return result

    app = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool).streamable_http_app()
    sockets = listening("localhost", 0)
    print(f"http://localhost:{sockets[0].getsockname()[1]}/mcp", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets)


if __name__ == "__main__":
    main()
