"""The first step of the schema on SQLite, which stays as it is: what has changed since is in `schema`."""

FIRST = """
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
