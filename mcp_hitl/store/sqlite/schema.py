"""The schema, in numbered steps that only go forward. `PRAGMA user_version` is a file's last step.

The schema repeats the domain's promises, so that no other program can break them: the possible statuses, that a final
status is final, that decisions and audit entries are neither changed nor deleted.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mcp_hitl.store.sqlite.first_schema import FIRST

if TYPE_CHECKING:
    from sqlite_utils import Database

_SESSIONS_WITH_ASSURANCE = """
CREATE TABLE sessions_now (
    digest TEXT PRIMARY KEY,
    token_digest TEXT NOT NULL,
    principal TEXT NOT NULL,
    established TEXT NOT NULL,
    assurance TEXT NOT NULL CHECK (assurance IN ('none', 'local', 'session', 'step-up')),
    authenticated_at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO sessions_now         -- until now everybody signed in with a link, which is no more than `local`
    SELECT digest, token_digest, principal, established, 'local', since, since, until FROM sessions;
DROP TABLE sessions;
ALTER TABLE sessions_now RENAME TO sessions;
"""

_REQUESTERS_BY_WAY = "CREATE INDEX approvals_identified ON approvals (requested_as, requester);"

_DEFINITIONS = """
ALTER TABLE approvals ADD COLUMN definition TEXT;
ALTER TABLE approvals ADD COLUMN code TEXT;
"""

_HOLDERS = """
ALTER TABLE flows ADD COLUMN holder TEXT;  -- the lock that the process holds which runs it
INSERT INTO facts VALUES ('boot', '');
"""

_POLICY_FACT = "INSERT INTO facts VALUES ('policy', '');"

_BRANCHES = """
CREATE TABLE journal_now (
    flow TEXT NOT NULL REFERENCES flows (id),
    branch TEXT NOT NULL,
    position INTEGER NOT NULL,
    step TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('claimed', 'done', 'failed')),
    output TEXT,
    PRIMARY KEY (flow, branch, position)
) STRICT, WITHOUT ROWID;
INSERT INTO journal_now             -- until now the steps of all branches were numbered together
    SELECT flow, '*', position, step, name, state, output FROM journal;
DROP TABLE journal;
ALTER TABLE journal_now RENAME TO journal;
"""

_OUTCOME_STATE = """
ALTER TABLE approvals ADD COLUMN outcome_state TEXT
    GENERATED ALWAYS AS (CASE WHEN json_valid(outcome) THEN outcome ->> 'state' END) VIRTUAL;
"""

_RESTORED = "INSERT INTO facts VALUES ('restored', '');"

_OPEN_REQUESTS = """
ALTER TABLE approvals ADD COLUMN size INTEGER NOT NULL DEFAULT 0;  -- the bytes of the payload
UPDATE approvals SET size = length(CAST(payload AS BLOB)) WHERE status = 'pending';
DROP INDEX approvals_open;
CREATE INDEX approvals_open ON approvals (requester, kind, expires_at, size) WHERE status = 'pending';
CREATE TABLE open_requests (        -- what each requester has pending of each kind, overdue or not
    requester TEXT NOT NULL,
    kind TEXT NOT NULL,
    number INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (requester, kind)
) STRICT, WITHOUT ROWID;
INSERT INTO open_requests
    SELECT requester, kind, count(*), sum(size) FROM approvals WHERE status = 'pending' GROUP BY requester, kind;
CREATE TRIGGER approvals_opened AFTER INSERT ON approvals WHEN NEW.status = 'pending' BEGIN
    INSERT INTO open_requests VALUES (NEW.requester, NEW.kind, 1, NEW.size)
    ON CONFLICT (requester, kind) DO UPDATE SET number = number + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER approvals_resized AFTER UPDATE OF size ON approvals WHEN NEW.status = 'pending' BEGIN
    UPDATE open_requests SET bytes = bytes + NEW.size - OLD.size
    WHERE requester = NEW.requester AND kind = NEW.kind;
END;
CREATE TRIGGER approvals_closed AFTER UPDATE OF status ON approvals
WHEN OLD.status = 'pending' AND NEW.status <> 'pending' BEGIN
    UPDATE open_requests SET number = number - 1, bytes = bytes - OLD.size
    WHERE requester = OLD.requester AND kind = OLD.kind;
    DELETE FROM open_requests WHERE requester = OLD.requester AND kind = OLD.kind AND number = 0;
END;
"""

_COMMITS = """
CREATE TABLE commits (mark TEXT NOT NULL) STRICT;  -- one row: what `footing` reads, with the number of commits
INSERT INTO commits VALUES ('mcp-hitl ' || lower(hex(randomblob(16))) || ' 00000000000000000000');
"""

_SPENT_PORTS = "INSERT INTO facts VALUES ('spent-ports', '');"

_TURNS = "ALTER TABLE journal ADD COLUMN turn INTEGER;  -- the order in which steps ended; null: never handed over yet"

_OPEN_WORK = """
CREATE INDEX approvals_unsettled ON approvals (id) WHERE status = 'approved' AND outcome_state = 'unknown';
CREATE INDEX flows_open ON flows (kind, approval) WHERE state IN ('runnable', 'waiting', 'sleeping');
CREATE INDEX audit_apart ON audit (event, seq) WHERE approval = '';
DROP INDEX approvals_equal;         -- with the id at the end, the newest equal one is found at once
CREATE INDEX approvals_equal ON approvals (requester, kind, digest, status, id);
DROP INDEX approvals_asked;
CREATE INDEX approvals_asked ON approvals (requester, kind, asked_digest, status, id);
"""
_MOVED = "INSERT INTO facts VALUES ('moved', '');"


def _step(script: str) -> Callable[["Database"], None]:
    def run(db: "Database") -> None:
        for statement in _statements(script):
            db.conn.execute(statement)

    return run


MIGRATIONS: tuple[Callable[["Database"], None], ...] = (
    _step(FIRST),
    _step(_SESSIONS_WITH_ASSURANCE),
    _step(_REQUESTERS_BY_WAY),
    _step(_DEFINITIONS),
    _step(_HOLDERS),
    _step(_POLICY_FACT),
    _step(_BRANCHES),
    _step(_RESTORED),
    _step(_OPEN_REQUESTS),
    _step(_COMMITS),
    _step(_SPENT_PORTS),
    _step(_TURNS),
    _step(_OUTCOME_STATE),
    _step(_OPEN_WORK),
    _step(_MOVED),
)
"""Step n migrates a file from version n to n + 1."""


def _statements(script: str) -> list[str]:
    """Split a script at the points where SQLite sees a complete statement (a trigger has semicolons inside)."""
    import sqlite3

    statements: list[str] = []
    held = ""
    for line in script.splitlines(keepends=True):
        held += line
        if sqlite3.complete_statement(held):
            statements.append(held)
            held = ""
    return statements
