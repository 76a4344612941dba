"""The front-end that speaks MCP: tools, resources and the prompt, over stdio and streamable HTTP."""
