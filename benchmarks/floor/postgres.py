"""The floor on PostgreSQL."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg

from benchmarks.floor.desk import APPEND, LAST, TABLES, Transaction, Transactions

_RULES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION '% of % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE FUNCTION shown() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM approvals WHERE id = NEW.approval AND digest = NEW.digest AND status = 'pending') THEN
        RAISE EXCEPTION 'nothing like this is pending' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER changed BEFORE UPDATE OR DELETE ON log FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER emptied BEFORE TRUNCATE ON log EXECUTE FUNCTION refuse();
CREATE TRIGGER changed BEFORE UPDATE OR DELETE ON decisions FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER emptied BEFORE TRUNCATE ON decisions EXECUTE FUNCTION refuse();
CREATE TRIGGER shown BEFORE INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION shown();
CREATE TRIGGER deleted BEFORE DELETE ON approvals FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER emptied BEFORE TRUNCATE ON approvals EXECUTE FUNCTION refuse();
CREATE TRIGGER changed BEFORE UPDATE ON approvals FOR EACH ROW
    WHEN ((OLD.status <> 'pending' AND NEW.status <> OLD.status) OR OLD.outcome IS NOT NULL
    OR (NEW.id, NEW.requester, NEW.payload, NEW.digest, NEW.requested_at, NEW.deadline)
    IS DISTINCT FROM (OLD.id, OLD.requester, OLD.payload, OLD.digest, OLD.requested_at, OLD.deadline))
    EXECUTE FUNCTION refuse();
CREATE TRIGGER deleted BEFORE DELETE ON steps FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER emptied BEFORE TRUNCATE ON steps EXECUTE FUNCTION refuse();
CREATE TRIGGER changed BEFORE UPDATE ON steps FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL) EXECUTE FUNCTION refuse();
"""
_ONE_WRITER = "SELECT pg_advisory_xact_lock(1)"
"""The chain has one order: whoever reads its end is the next to write."""


@cache
def _words(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


@contextmanager
def postgres(url: str) -> Generator[Transactions]:
    """Transactions on an empty database."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute((TABLES.replace("INTEGER", "BIGINT") + _RULES).encode())
        db.execute("SET synchronous_commit = on")

        def execute(sql: str, values: Sequence[Any]) -> psycopg.Cursor[Any]:
            return db.execute(_words(sql), values)

        @contextmanager
        def transaction() -> Generator[Transaction]:
            with db.pipeline() as pipeline, db.transaction():
                db.execute(_ONE_WRITER)
                write = Transaction(execute, db.execute(LAST).fetchone())
                yield write
                db.cursor().executemany(_words(APPEND), write.entries)
                pipeline.sync()
                write.check()

        yield transaction
