"""Follows a policy file: what it says now, so that a process need not start again when it changes."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from mcp_hitl.config.settings import Settings
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid


@dataclass(frozen=True, slots=True)
class Policy:
    """What a process goes by: the rulebook, and how long contents are kept after an approval has ended."""

    rulebook: Rulebook
    retention: timedelta | None


class PolicySource:
    """The policy of a process, whose file is read again when it has changed."""

    def __init__(self, settings: Settings, complete: Callable[[Rulebook], Rulebook] = lambda read: read) -> None:
        """Follow the file of `settings`, which were just read. `complete` adds what a program defines itself."""
        self._file = settings.policy
        self._complete = complete
        self._now = Policy(complete(settings.rulebook), settings.retention)
        self._seen: tuple[int, ...] | None = None
        """The file when it was looked at last."""
        self._read: tuple[int, ...] | None = None
        """The file when it was read last."""

    @property
    def rulebook(self) -> Rulebook:
        """The rulebook as it was found last."""
        return self._now.rulebook

    def look(self) -> Policy | None:
        """Return the policy if the file says another one since the last look but one; None if it does not.

        A file that changes is left alone until it has been the same for two looks: somebody is writing it. One that
        has mistakes or is gone gives the policy that was valid last, with the mistake, by which nothing is approved.
        """
        if self._file is None:
            return None
        before, self._seen = self._seen, _signature(self._file)
        if self._seen != before or self._seen == self._read:
            return None
        policy = self._reading(self._file)
        self._read = self._seen
        told = (policy.rulebook.digest, policy.rulebook.mistake)
        if told == (self._now.rulebook.digest, self._now.rulebook.mistake):
            return None
        self._now = policy
        return policy

    def _reading(self, file: Path) -> Policy:
        # Imported late: without a policy file nothing of what reads one is needed.
        from mcp_hitl.config.policy_file import read

        try:
            found = read(file)
        except Invalid as error:
            return replace(self._now, rulebook=replace(self._now.rulebook, mistake=str(error)))
        return Policy(self._complete(found.rulebook), found.retention)


def _signature(file: Path) -> tuple[int, ...]:
    """Return what changes with each change of the file; empty if it cannot be looked at."""
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
