"""The schema, in numbered steps that only go forward. `PRAGMA user_version` is a file's last step.

The schema repeats the domain's promises, so that no other program can break them: the possible statuses, that a final
status is final, that decisions and audit entries are neither changed nor deleted.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

_FIRST = """
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    claim TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'expired', 'cancelled')),
    payload TEXT NOT NULL,          -- JSON; `digest` is that of its RFC 8785 form; `null` after erasing
    digest TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision >= 1),
    requester TEXT NOT NULL,
    requested_at INTEGER NOT NULL,  -- every instant is in milliseconds since 1970, UTC
    expires_at INTEGER NOT NULL,
    resolved_at INTEGER CHECK ((status = 'pending') = (resolved_at IS NULL)),
    policy TEXT NOT NULL,
    form TEXT,
    dedup_key TEXT,                 -- only its digest, which stays when the contents are erased
    cooldown_until INTEGER,
    asked INTEGER NOT NULL,
    answer TEXT,
    reason TEXT,
    outcome TEXT NOT NULL,
    stage_since INTEGER NOT NULL,
    timed_to INTEGER NOT NULL,      -- reminders and escalations up to this instant are recorded
    next_at INTEGER CHECK ((status = 'pending') = (next_at IS NOT NULL)),
    escalated TEXT NOT NULL,
    flow TEXT,
    rule TEXT,
    erased_at INTEGER,
    asked_digest TEXT NOT NULL,     -- the digest of the first payload; `digest` is that of the present one
    requested_as TEXT
) STRICT;
CREATE UNIQUE INDEX approvals_keyed ON approvals (requester, kind, dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX approvals_equal ON approvals (requester, kind, digest, status);
CREATE INDEX approvals_asked ON approvals (requester, kind, asked_digest, status);
CREATE INDEX approvals_ended ON approvals (resolved_at) WHERE resolved_at IS NOT NULL AND erased_at IS NULL;
CREATE INDEX approvals_erased ON approvals (resolved_at) WHERE erased_at IS NOT NULL;
CREATE INDEX approvals_past ON approvals (id) WHERE status <> 'pending';
CREATE INDEX approvals_pending ON approvals (id, expires_at) WHERE status = 'pending';
CREATE INDEX approvals_pending_kind ON approvals (kind, id, expires_at) WHERE status = 'pending';
CREATE INDEX approvals_due ON approvals (next_at) WHERE status = 'pending';
CREATE INDEX approvals_requester ON approvals (requester, kind, id);
CREATE INDEX approvals_ending ON approvals (requester, kind, status, id, expires_at);
CREATE INDEX approvals_open ON approvals (requester, kind, expires_at) WHERE status = 'pending';
CREATE INDEX approvals_ruled ON approvals (requester, kind, rule, resolved_at) WHERE rule IS NOT NULL;

CREATE TRIGGER approvals_terminal BEFORE UPDATE OF status ON approvals
WHEN OLD.status <> 'pending' BEGIN SELECT RAISE(ABORT, 'a resolved approval stays as it is'); END;
CREATE TRIGGER approvals_bound BEFORE UPDATE OF payload, digest ON approvals
WHEN (NEW.revision = OLD.revision OR OLD.status <> 'pending')
    AND NOT (OLD.status <> 'pending' AND NEW.erased_at IS NOT NULL AND NEW.payload = 'null' AND NEW.digest = OLD.digest)
BEGIN SELECT RAISE(ABORT, 'a payload changes only with its revision, and only while it is pending'); END;
-- INSERT OR REPLACE deletes the existing row without running a DELETE trigger. So triggers before INSERT refuse it.
CREATE TRIGGER approvals_new BEFORE INSERT ON approvals
WHEN EXISTS (
    SELECT 1 FROM approvals WHERE id = NEW.id
    UNION ALL
    SELECT 1 FROM approvals WHERE requester = NEW.requester AND kind = NEW.kind AND dedup_key = NEW.dedup_key
)
BEGIN SELECT RAISE(ABORT, 'approvals are not replaced'); END;
CREATE TRIGGER approvals_kept BEFORE DELETE ON approvals
BEGIN SELECT RAISE(ABORT, 'approvals are not deleted'); END;

CREATE TABLE decisions (
    approval TEXT NOT NULL REFERENCES approvals (id),
    revision INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    approver TEXT NOT NULL,
    established TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('approve', 'reject')),
    comment TEXT,                   -- only its digest
    looked INTEGER,                 -- for how many milliseconds the approver had the request on screen
    assurance TEXT NOT NULL CHECK (assurance IN ('none', 'local', 'session', 'step-up')),
    nonce TEXT,
    at INTEGER NOT NULL,
    UNIQUE (approval, revision, stage, approver)
) STRICT;
CREATE TRIGGER decisions_new BEFORE INSERT ON decisions
WHEN EXISTS (
    SELECT 1 FROM decisions WHERE rowid = NEW.rowid
    UNION ALL
    SELECT 1 FROM decisions
    WHERE approval = NEW.approval AND revision = NEW.revision AND stage = NEW.stage AND approver = NEW.approver
)
BEGIN SELECT RAISE(IGNORE); END;    -- the first decision stays; the writer sees that no row was added
CREATE TRIGGER decisions_fixed BEFORE UPDATE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are not changed'); END;
CREATE TRIGGER decisions_kept BEFORE DELETE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are not deleted'); END;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,        -- without gaps: entries are only appended, never deleted
    approval TEXT NOT NULL,
    event TEXT NOT NULL,
    revision INTEGER NOT NULL,
    actor TEXT NOT NULL,
    established TEXT,
    assurance TEXT,
    at INTEGER NOT NULL,
    data TEXT NOT NULL,             -- names, digests and numbers, never contents
    previous TEXT NOT NULL,         -- the hash of the entry before
    hash TEXT NOT NULL              -- the digest of all other columns
) STRICT;
CREATE INDEX audit_approval ON audit (approval, seq);
CREATE INDEX audit_actor ON audit (actor, at);
CREATE TRIGGER audit_new BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'audit entries are not replaced'); END;
CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit entries are not changed'); END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit entries are not deleted'); END;

CREATE TABLE contents (             -- the values behind the digests in `audit`; erasing them does not change the log
    approval TEXT NOT NULL,
    digest TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (approval, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE edits (
    approval TEXT NOT NULL REFERENCES approvals (id),
    revision INTEGER NOT NULL,
    editor TEXT NOT NULL,
    comment TEXT,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    at INTEGER NOT NULL,
    established TEXT,
    PRIMARY KEY (approval, revision)
) STRICT, WITHOUT ROWID;
CREATE TABLE progress (
    approval TEXT NOT NULL REFERENCES approvals (id),
    step TEXT NOT NULL,
    message TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX progress_approval ON progress (approval);
CREATE TABLE pauses (kind TEXT PRIMARY KEY, by TEXT NOT NULL, at INTEGER NOT NULL) STRICT;

CREATE TABLE flows (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    approval TEXT NOT NULL REFERENCES approvals (id),
    state TEXT NOT NULL CHECK (state IN ('runnable', 'waiting', 'sleeping', 'done', 'failed', 'unknown')),
    wake_at INTEGER CHECK ((state = 'sleeping') = (wake_at IS NOT NULL)),
    lease_until INTEGER NOT NULL,
    epoch INTEGER NOT NULL
) STRICT;
CREATE INDEX flows_runnable ON flows (kind, lease_until) WHERE state = 'runnable';
CREATE INDEX flows_sleeping ON flows (wake_at) WHERE state = 'sleeping';
CREATE TABLE journal (
    flow TEXT NOT NULL REFERENCES flows (id),
    position INTEGER NOT NULL,
    step TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('claimed', 'done', 'failed')),
    output TEXT,
    PRIMARY KEY (flow, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE expenses (
    approval TEXT PRIMARY KEY REFERENCES approvals (id),
    amount TEXT NOT NULL,
    currency TEXT NOT NULL,
    description TEXT NOT NULL,
    category TEXT
) STRICT;

CREATE TABLE clients (              -- the newest clients that have connected, and what they say about themselves
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    protocol TEXT NOT NULL,
    transport TEXT NOT NULL CHECK (transport IN ('stdio', 'http')),
    forms INTEGER NOT NULL CHECK (forms IN (0, 1)),
    url INTEGER NOT NULL CHECK (url IN (0, 1)),
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    UNIQUE (name, version, protocol, transport, forms, url)
) STRICT;

CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO facts VALUES
    ('database', lower(hex(randomblob(16)))), ('profile', 'solo'), ('governed', 'no'), ('clock', '0'), ('inbox', '');
CREATE TABLE counter (only INTEGER PRIMARY KEY CHECK (only = 1), value TEXT NOT NULL) STRICT;
INSERT INTO counter VALUES (1, '0');

CREATE TABLE sign_in_links (        -- only digests: nobody who reads the file can sign in with them
    digest TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    established TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
    digest TEXT PRIMARY KEY,
    token_digest TEXT NOT NULL,
    principal TEXT NOT NULL,
    established TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

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
"""


def _step(script: str) -> Callable[["Database"], None]:
    def run(db: "Database") -> None:
        for statement in _statements(script):
            db.conn.execute(statement)

    return run


MIGRATIONS: tuple[Callable[["Database"], None], ...] = (
    _step(_FIRST),
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
