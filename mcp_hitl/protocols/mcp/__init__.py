"""What every front-end that speaks MCP shares: calls, forms, pages, replies, and stdio."""
