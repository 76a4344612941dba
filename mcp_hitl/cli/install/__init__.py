"""`mcp-hitl install`: adds this server to the configuration files of MCP clients."""
