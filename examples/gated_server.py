"""An MCP server of your own with one tool behind an approval. A client starts it: python examples/gated_server.py

The model calls `refund` and gets a pending approval. A person decides it, here with `mcp-hitl --db refunds.db approve`.
Then, and only then, the body runs, once, with what was approved; also if this server was restarted in between.
"""

import os
from typing import Any

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from mcp_hitl import Approvals

approvals = Approvals(
    os.environ.get("REFUNDS_DB", "refunds.db"),
    name="refunds",
    policy=os.environ.get("MCP_HITL_CONFIG"),
    tool_error=ToolError,
)
mcp = MCPServer("Refunds", lifespan=approvals.lifespan)


@mcp.tool()
@approvals.gate(title="Refund {amount} for order {order}")
async def refund(order: int, amount: float) -> str:
    """Give a customer their money back. Returns an approval that a person decides first."""
    async with await anyio.open_file(os.environ.get("REFUNDS_FILE", "refunds.txt"), "a") as bank:
        await bank.write(f"{order} {amount}\n")
    return f"Refunded {amount} for order {order}."


@mcp.tool(name="wait-for-approval")
async def wait_for_approval(id: str) -> dict[str, Any]:
    """Wait up to 45 seconds until an approval is decided and carried out. Call it as often as it takes."""
    return approvals.shape(await approvals.outcome(id, seconds=45))


if __name__ == "__main__":
    mcp.run()
