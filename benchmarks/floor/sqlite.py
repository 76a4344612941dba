"""The floor on SQLite."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.floor.desk import APPEND, LAST, TABLES, Transaction, Transactions

_RULES = """
CREATE TRIGGER log_update BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER log_delete BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER decisions_update BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'a decision is final'); END;
CREATE TRIGGER decisions_delete BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'a decision is final'); END;
CREATE TRIGGER decisions_insert BEFORE INSERT ON decisions WHEN NOT EXISTS (
    SELECT 1 FROM approvals WHERE id = NEW.approval AND digest = NEW.digest AND status = 'pending')
    BEGIN SELECT RAISE(ABORT, 'nothing like this is pending'); END;
CREATE TRIGGER approvals_delete BEFORE DELETE ON approvals BEGIN SELECT RAISE(ABORT, 'approvals stay'); END;
CREATE TRIGGER approvals_update BEFORE UPDATE ON approvals
    WHEN (OLD.status <> 'pending' AND NEW.status <> OLD.status) OR OLD.outcome IS NOT NULL
    OR (NEW.id, NEW.requester, NEW.payload, NEW.digest, NEW.requested_at, NEW.deadline)
    IS NOT (OLD.id, OLD.requester, OLD.payload, OLD.digest, OLD.requested_at, OLD.deadline)
    BEGIN SELECT RAISE(ABORT, 'this does not change any more'); END;
CREATE TRIGGER steps_delete BEFORE DELETE ON steps BEGIN SELECT RAISE(ABORT, 'the journal stays'); END;
CREATE TRIGGER steps_update BEFORE UPDATE ON steps WHEN OLD.ended_at IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'the step has ended'); END;
"""


@contextmanager
def sqlite(path: Path) -> Generator[Transactions]:
    """Transactions on a new file."""
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 5000"):
        db.execute(f"PRAGMA {pragma}")
    db.executescript(TABLES + _RULES)

    @contextmanager
    def transaction() -> Generator[Transaction]:
        db.execute("BEGIN IMMEDIATE")
        try:
            write = Transaction(db.execute, db.execute(LAST).fetchone())
            yield write
            write.check()
            db.executemany(APPEND, write.entries)
            db.execute("COMMIT")
        except BaseException:
            db.rollback()
            raise

    yield transaction
    db.close()
