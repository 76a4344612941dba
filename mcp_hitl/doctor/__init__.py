"""`mcp-hitl doctor`: gathers facts about this installation, and reports what is unsafe."""
