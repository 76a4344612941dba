"""What a cycle changes, in statements that both databases understand."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

TABLES = """
CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY, requester TEXT NOT NULL, payload TEXT NOT NULL,
    digest TEXT NOT NULL CHECK (length(digest) = 64),
    requested_at TEXT NOT NULL, deadline TEXT NOT NULL CHECK (deadline > requested_at),
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected', 'expired')),
    resolved_at TEXT, outcome TEXT CHECK (outcome IN ('succeeded', 'failed')),
    CHECK ((status = 'pending') = (resolved_at IS NULL)), CHECK (outcome IS NULL OR status = 'approved'));
CREATE INDEX approvals_due ON approvals (deadline) WHERE status = 'pending';
CREATE TABLE decisions (
    approval TEXT NOT NULL REFERENCES approvals, approver TEXT NOT NULL, digest TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('approved', 'rejected')), decided_at TEXT NOT NULL,
    PRIMARY KEY (approval, approver));
CREATE TABLE steps (
    approval TEXT NOT NULL REFERENCES approvals, name TEXT NOT NULL, started_at TEXT NOT NULL,
    ended_at TEXT, result TEXT, PRIMARY KEY (approval, name), CHECK ((ended_at IS NULL) = (result IS NULL)));
CREATE TABLE log (
    seq INTEGER NOT NULL PRIMARY KEY, approval TEXT NOT NULL REFERENCES approvals, entry TEXT NOT NULL,
    hash TEXT NOT NULL CHECK (length(hash) = 64));
"""
LAST = "SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1"
APPEND = "INSERT INTO log (seq, approval, entry, hash) VALUES (?, ?, ?, ?)"
_FIRST = (0, "0" * 64)

canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


class Refused(Exception):
    """What should have changed a row changed none: it came too late, or was never allowed."""


class _Changed(Protocol):
    @property
    def rowcount(self) -> int: ...


class Transaction:
    """What one transaction changes, and the entries of the log that tell it."""

    def __init__(self, execute: Callable[[str, Sequence[Any]], _Changed], last: tuple[int, str] | None) -> None:
        self.now = datetime.now(UTC)
        self.at = self.now.isoformat(timespec="microseconds")
        self.entries: list[tuple[int, str, str, str]] = []
        self._execute, self._changes = execute, list[_Changed]()
        self._seq, self._hash = last or _FIRST

    def change(self, sql: str, *values: Any) -> None:
        """Run a statement that must change one row."""
        self._changes.append(self._execute(sql, values))

    def check(self) -> None:
        """Refuse what changed nothing."""
        if any(change.rowcount != 1 for change in self._changes):
            raise Refused

    def log(self, event: str, approval: str, **told: Any) -> None:
        """Add an entry to the chain."""
        self._seq += 1
        entry = canonical(
            {"seq": self._seq, "at": self.at, "event": event, "approval": approval, "previous": self._hash, **told}
        )
        self._hash = sha256(entry.encode()).hexdigest()
        self.entries.append((self._seq, approval, entry, self._hash))


def submit(write: Transaction, approval: str, payload: str, digest: str, seconds: float) -> None:
    """Ask."""
    write.change(
        "INSERT INTO approvals (id, requester, payload, digest, requested_at, deadline) VALUES (?, ?, ?, ?, ?, ?)",
        *(approval, "agent", payload, digest, write.at),
        (write.now + timedelta(seconds=seconds)).isoformat(timespec="microseconds"),
    )
    write.log("submitted", approval, digest=digest)


def decide(write: Transaction, approval: str, digest: str, approver: str, verdict: str) -> None:
    """Decide what is pending, exactly as it was shown."""
    write.change(
        "INSERT INTO decisions (approval, approver, digest, verdict, decided_at) VALUES (?, ?, ?, ?, ?)",
        *(approval, approver, digest, verdict, write.at),
    )
    write.change(
        "UPDATE approvals SET status = ?, resolved_at = ? WHERE id = ? AND status = 'pending' AND deadline > ?",
        *(verdict, write.at, approval, write.at),
    )
    write.log("decided", approval, digest=digest, approver=approver, verdict=verdict)


def start(write: Transaction, approval: str, step: str) -> None:
    """Say that the effect is about to happen, which it may once and if approved."""
    write.change(
        "INSERT INTO steps (approval, name, started_at) SELECT id, ?, ? FROM approvals "
        "WHERE id = ? AND status = 'approved'",
        *(step, write.at, approval),
    )
    write.log("started", approval, step=step)


def end(write: Transaction, approval: str, step: str, result: str) -> None:
    """Keep what the effect returned, and with it the outcome."""
    write.change(
        "UPDATE steps SET ended_at = ?, result = ? WHERE approval = ? AND name = ? AND ended_at IS NULL",
        *(write.at, result, approval, step),
    )
    write.log("ended", approval, step=step, result=result)
    write.change("UPDATE approvals SET outcome = 'succeeded' WHERE id = ? AND outcome IS NULL", approval)
    write.log("succeeded", approval)


def verify(entries: Iterable[tuple[int, str, str]]) -> int:
    """Check the chain of (seq, entry, hash), and return its length."""
    seq, last = _FIRST
    for found, entry, digest in entries:
        seq += 1
        told = json.loads(entry)
        if (found, told["seq"], told["previous"], sha256(entry.encode()).hexdigest()) != (seq, seq, last, digest):
            raise ValueError(f"the chain breaks at {seq}")
        last = digest
    return seq


Transactions = Callable[[], AbstractContextManager[Transaction]]
"""Begins a transaction; it is durable when the block has ended, and undone if the block fails."""
