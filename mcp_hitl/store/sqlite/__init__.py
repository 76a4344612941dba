"""The store in one SQLite file."""

from mcp_hitl.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
