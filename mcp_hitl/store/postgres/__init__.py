"""The store on a PostgreSQL server."""

from mcp_hitl.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
