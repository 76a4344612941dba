"""The schema on PostgreSQL, in numbered steps that only go forward. The table `migrations` has those that were taken.

It makes the promises that the schema of SQLite makes, so that no other program can break them: the possible statuses,
that a final status is final, that decisions and audit entries are neither changed nor deleted, nor their tables
emptied. Whoever owns a table can take its triggers away; the role that serves need not own it (docs/deploy.md).
"""

from mcp_hitl.store.postgres.first_schema import FIRST

_OPEN_WORK = """
CREATE INDEX flows_open ON flows (kind, approval) WHERE state IN ('runnable', 'waiting', 'sleeping');
CREATE INDEX audit_apart ON audit (event, seq) WHERE approval = '';
DROP INDEX approvals_equal;         -- with the id at the end, the newest equal one is found at once
CREATE INDEX approvals_equal ON approvals (requester, kind, digest, status, id);
DROP INDEX approvals_asked;
CREATE INDEX approvals_asked ON approvals (requester, kind, asked_digest, status, id);
"""
_MOVED = "INSERT INTO facts VALUES ('moved', '')"


def _step(script: str) -> str:
    """Make texts sort by their characters' numbers, as on SQLite; ids depend on it."""
    return script.replace(" TEXT", ' TEXT COLLATE "C"')


MIGRATIONS: tuple[str, ...] = (_step(FIRST), _step(_OPEN_WORK), _step(_MOVED))
"""Step n migrates a database from version n to n + 1."""
