"""Reads the log from its beginning, checks the hash chain, and collects what concerns no particular approval."""

from collections.abc import Iterable, MutableMapping
from datetime import datetime

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.evidence import events
from mcp_hitl.domain.evidence.chain import NOWHERE, Entry, Recorded
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.evidence.fields import Incomplete
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.values.canonical import JsonObject


class Broken(Exception):
    """The evidence is not intact; the message names the place and the fault."""


class Ledger:
    """Reads the chain from its beginning."""

    def __init__(self, genesis: str, statuses: MutableMapping[str, str] | None = None) -> None:
        """Start with `genesis` as the hash before the first entry.

        `statuses` is where to keep the status of each approval; it is all that grows with the log.
        """
        self.seq = 0
        self.of_approvals = 0
        """The number of entries that concern an approval."""
        self.start: str = genesis
        self.head: str = genesis
        self.met_expected = False
        """True once an entry had the hash that the caller expects."""
        self.statuses: MutableMapping[str, str] = {} if statuses is None else statuses
        self.paused: dict[str, tuple[str, datetime]] = {}
        """What is paused, by whom and since when; the empty text means everything."""
        self.restored: int | None = None
        """The last entry that was known before an older copy was put back, until a person has confirmed it."""

        self.policy: str | None = None
        """The digest of the policy file in force; None as long as none is recorded."""

    def read(self, entries: Iterable[Recorded], *, expect: str | None = None) -> None:
        """Read the next entries.

        Raises:
            Broken: an entry is missing, changed, out of place, or does not follow from the ones before.
        """
        for recorded in entries:
            place = f"entry {self.seq + 1}"
            if recorded.seq != self.seq + 1:
                raise Broken(f"{place} is missing: entry {recorded.seq} follows entry {self.seq}")
            if not recorded.intact:
                raise Broken(f"{place} was changed: its hash does not match its contents")
            if recorded.previous != self.head:
                raise Broken(f"{place} does not continue the chain: the entry before it was replaced")
            self.seq, self.head = recorded.seq, recorded.hash
            self.of_approvals += recorded.entry.approval != NOWHERE
            self.met_expected = self.met_expected or recorded.hash == expect
            try:
                self._follow(recorded.entry, place)
            except Incomplete:
                raise Broken(f"{place} lacks a field that its event needs") from None

    def check_end(self, expect: str | None) -> None:
        """Check that the expected hash was in the chain, or was its beginning.

        Raises:
            Broken: it was in neither.
        """
        if expect not in (None, self.start) and not self.met_expected:
            raise Broken(
                f"the chain ends with entry {self.seq} and does not contain the expected hash: "
                "its end was cut off, or this is another database"
            )

    def _follow(self, entry: Entry, place: str) -> None:
        match events.read(entry):
            case events.Paused(kind=kind):
                self.paused[kind or ""] = entry.actor, entry.at
            case events.Resumed(kind=kind):
                self.paused.pop(kind or "", None)
            case events.PolicyChanged() as changed:
                if changed.was != self.policy:
                    raise Broken(f"{place} replaces another policy file than the one before it")
                self.policy = changed.policy
            case events.Restored(known=known):
                self.restored = known or 0
            case events.RestoreConfirmed():
                self.restored = None
            case events.ClockReset() | events.ClockSetBack() | events.SignedIn() | events.SignedOut():
                pass
            case events.Opened():
                if entry.approval in self.statuses:
                    raise Broken(f"{place} opens {entry.approval} a second time")
                self.statuses[entry.approval] = Status.PENDING.value
            case event:
                status = self.statuses.get(entry.approval)
                if status is None:
                    raise Broken(f"{place} is about {entry.approval}, which was never opened")
                if isinstance(event, events.Ended):
                    if status != Status.PENDING:
                        raise Broken(f"{place} ends {entry.approval}, which had ended as {status}")
                    self.statuses[entry.approval] = event.status.value


def recorded_of(line: JsonObject) -> Recorded:
    """Return the entry that one line of an export describes.

    Raises:
        Broken: the line is not an entry.
    """
    try:
        entry = Entry(
            approval=line["approval"],
            event=Event(line["event"]),
            revision=line["revision"],
            actor=line["actor"],
            established=line["established"],
            assurance=line["assurance"] and Assurance(line["assurance"]),
            at=datetime.fromisoformat(line["at"]),
            data=line["data"],
        )
        return Recorded(line["seq"], entry, line["previous"], line["hash"])
    except (KeyError, TypeError, ValueError):
        raise Broken("it is not an entry") from None
