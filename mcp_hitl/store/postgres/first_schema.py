"""The first step of the schema on PostgreSQL, which stays as it is: what has changed since is in `schema`."""

FIRST = """
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    claim TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'expired', 'cancelled')),
    payload TEXT NOT NULL,          -- JSON; `digest` is that of its RFC 8785 form; `null` after erasing
    digest TEXT NOT NULL,
    revision BIGINT NOT NULL CHECK (revision >= 1),
    requester TEXT NOT NULL,
    requested_at BIGINT NOT NULL,   -- every instant is in milliseconds since 1970, UTC
    expires_at BIGINT NOT NULL,
    resolved_at BIGINT CHECK ((status = 'pending') = (resolved_at IS NULL)),
    policy TEXT NOT NULL,
    form TEXT,
    dedup_key TEXT,                 -- only its digest, which stays when the contents are erased
    cooldown_until BIGINT,
    asked BIGINT NOT NULL,
    answer TEXT,
    reason TEXT,
    outcome TEXT NOT NULL,
    stage_since BIGINT NOT NULL,
    timed_to BIGINT NOT NULL,       -- reminders and escalations up to this instant are recorded
    next_at BIGINT CHECK ((status = 'pending') = (next_at IS NOT NULL)),
    escalated TEXT NOT NULL,
    flow TEXT,
    rule TEXT,
    erased_at BIGINT,
    asked_digest TEXT NOT NULL,     -- the digest of the first payload; `digest` is that of the present one
    requested_as TEXT,
    definition TEXT,
    code TEXT,
    size BIGINT NOT NULL,           -- the bytes of the payload
    outcome_state TEXT GENERATED ALWAYS AS (substring(outcome FROM '^{"state": "([a-z]+)"')) STORED
);
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
CREATE INDEX approvals_open ON approvals (requester, kind, expires_at, size) WHERE status = 'pending';
CREATE INDEX approvals_ruled ON approvals (requester, kind, rule, resolved_at) WHERE rule IS NOT NULL;
CREATE INDEX approvals_identified ON approvals (requested_as, requester);
CREATE INDEX approvals_unsettled ON approvals (id) WHERE status = 'approved' AND outcome_state = 'unknown';

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE TRIGGER approvals_terminal BEFORE UPDATE OF status ON approvals FOR EACH ROW
WHEN (OLD.status <> 'pending') EXECUTE FUNCTION refuse('a resolved approval stays as it is');
CREATE TRIGGER approvals_bound BEFORE UPDATE OF payload, digest ON approvals FOR EACH ROW
WHEN ((NEW.revision = OLD.revision OR OLD.status <> 'pending')
    AND NOT (OLD.status <> 'pending' AND NEW.erased_at IS NOT NULL
        AND NEW.payload = 'null' AND NEW.digest = OLD.digest))
EXECUTE FUNCTION refuse('a payload changes only with its revision, and only while it is pending');
CREATE TRIGGER approvals_kept BEFORE DELETE ON approvals FOR EACH ROW
EXECUTE FUNCTION refuse('approvals are not deleted');
CREATE TRIGGER approvals_not_emptied BEFORE TRUNCATE ON approvals
EXECUTE FUNCTION refuse('approvals are not deleted');

CREATE TABLE open_requests (        -- what each requester has pending of each kind, overdue or not
    requester TEXT NOT NULL,
    kind TEXT NOT NULL,
    number BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (requester, kind)
);
CREATE FUNCTION count_open() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO open_requests AS counted VALUES (NEW.requester, NEW.kind, 1, NEW.size)
        ON CONFLICT (requester, kind)
        DO UPDATE SET number = counted.number + 1, bytes = counted.bytes + excluded.bytes;
    ELSIF NEW.status = 'pending' THEN
        UPDATE open_requests SET bytes = bytes + NEW.size - OLD.size
        WHERE requester = NEW.requester AND kind = NEW.kind;
    ELSE
        UPDATE open_requests SET number = number - 1, bytes = bytes - OLD.size
        WHERE requester = OLD.requester AND kind = OLD.kind;
        DELETE FROM open_requests WHERE requester = OLD.requester AND kind = OLD.kind AND number = 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER approvals_opened AFTER INSERT ON approvals FOR EACH ROW
WHEN (NEW.status = 'pending') EXECUTE FUNCTION count_open();
CREATE TRIGGER approvals_resized AFTER UPDATE OF size ON approvals FOR EACH ROW
WHEN (NEW.status = 'pending') EXECUTE FUNCTION count_open();
CREATE TRIGGER approvals_closed AFTER UPDATE OF status ON approvals FOR EACH ROW
WHEN (OLD.status = 'pending' AND NEW.status <> 'pending') EXECUTE FUNCTION count_open();

CREATE TABLE decisions (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    approval TEXT NOT NULL REFERENCES approvals (id),
    revision BIGINT NOT NULL,
    stage BIGINT NOT NULL,
    approver TEXT NOT NULL,
    established TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('approve', 'reject')),
    comment TEXT,                   -- only its digest
    looked BIGINT,                  -- for how many milliseconds the approver had the request on screen
    assurance TEXT NOT NULL CHECK (assurance IN ('none', 'local', 'session', 'step-up')),
    nonce TEXT,
    at BIGINT NOT NULL,
    UNIQUE (approval, revision, stage, approver)
);
CREATE TRIGGER decisions_fixed BEFORE UPDATE ON decisions FOR EACH ROW
EXECUTE FUNCTION refuse('decisions are not changed');
CREATE TRIGGER decisions_kept BEFORE DELETE ON decisions FOR EACH ROW
EXECUTE FUNCTION refuse('decisions are not deleted');
CREATE TRIGGER decisions_not_emptied BEFORE TRUNCATE ON decisions
EXECUTE FUNCTION refuse('decisions are not deleted');

CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,         -- without gaps: entries are only appended, never deleted
    approval TEXT NOT NULL,
    event TEXT NOT NULL,
    revision BIGINT NOT NULL,
    actor TEXT NOT NULL,
    established TEXT,
    assurance TEXT,
    at BIGINT NOT NULL,
    data TEXT NOT NULL,             -- names, digests and numbers, never contents
    previous TEXT NOT NULL,         -- the hash of the entry before
    hash TEXT NOT NULL              -- the digest of all other columns
);
CREATE INDEX audit_approval ON audit (approval, seq);
CREATE INDEX audit_actor ON audit (actor, at);
CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit FOR EACH ROW
EXECUTE FUNCTION refuse('audit entries are not changed');
CREATE TRIGGER audit_kept BEFORE DELETE ON audit FOR EACH ROW
EXECUTE FUNCTION refuse('audit entries are not deleted');
CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit
EXECUTE FUNCTION refuse('audit entries are not deleted');

CREATE TABLE contents (             -- the values behind the digests in `audit`; erasing them does not change the log
    approval TEXT NOT NULL,
    digest TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (approval, digest)
);
CREATE TABLE edits (
    approval TEXT NOT NULL REFERENCES approvals (id),
    revision BIGINT NOT NULL,
    editor TEXT NOT NULL,
    comment TEXT,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    at BIGINT NOT NULL,
    established TEXT,
    PRIMARY KEY (approval, revision)
);
CREATE TABLE progress (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    approval TEXT NOT NULL REFERENCES approvals (id),
    step TEXT NOT NULL,
    message TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX progress_approval ON progress (approval);
CREATE TABLE pauses (kind TEXT PRIMARY KEY, by TEXT NOT NULL, at BIGINT NOT NULL);

CREATE TABLE flows (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    approval TEXT NOT NULL REFERENCES approvals (id),
    state TEXT NOT NULL CHECK (state IN ('runnable', 'waiting', 'sleeping', 'done', 'failed', 'unknown')),
    wake_at BIGINT CHECK ((state = 'sleeping') = (wake_at IS NOT NULL)),
    lease_until BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    holder TEXT                     -- the lock that the process holds which runs it
);
CREATE INDEX flows_runnable ON flows (kind, lease_until) WHERE state = 'runnable';
CREATE INDEX flows_sleeping ON flows (wake_at) WHERE state = 'sleeping';
CREATE TABLE journal (
    flow TEXT NOT NULL REFERENCES flows (id),
    branch TEXT NOT NULL,
    position BIGINT NOT NULL,
    step TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('claimed', 'done', 'failed')),
    output TEXT,
    turn BIGINT,                    -- the order in which steps ended; null: never handed over yet
    PRIMARY KEY (flow, branch, position)
);
CREATE TABLE expenses (
    approval TEXT PRIMARY KEY REFERENCES approvals (id),
    amount TEXT NOT NULL,
    currency TEXT NOT NULL,
    description TEXT NOT NULL,
    category TEXT
);

CREATE TABLE clients (              -- the newest clients that have connected, and what they say about themselves
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    protocol TEXT NOT NULL,
    transport TEXT NOT NULL CHECK (transport IN ('stdio', 'http')),
    forms BIGINT NOT NULL CHECK (forms IN (0, 1)),
    url BIGINT NOT NULL CHECK (url IN (0, 1)),
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    UNIQUE (name, version, protocol, transport, forms, url)
);

CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO facts VALUES
    ('database', replace(gen_random_uuid()::text, '-', '')), ('profile', 'solo'), ('governed', 'no'), ('clock', '0'),
    ('inbox', ''), ('boot', ''), ('policy', ''), ('restored', ''), ('server', ''),
    ('spent-ports', '');
CREATE TABLE counter (one BIGINT PRIMARY KEY CHECK (one = 1), value TEXT NOT NULL);
INSERT INTO counter VALUES (1, '0');

CREATE TABLE sign_in_links (        -- only digests: nobody who reads the database can sign in with them
    digest TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    established TEXT NOT NULL,
    until BIGINT NOT NULL
);
CREATE TABLE sessions (
    digest TEXT PRIMARY KEY,
    token_digest TEXT NOT NULL,
    principal TEXT NOT NULL,
    established TEXT NOT NULL,
    assurance TEXT NOT NULL CHECK (assurance IN ('none', 'local', 'session', 'step-up')),
    authenticated_at BIGINT NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL
);
"""
