"""The statements on the facts of the database itself."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.values.clock import Boot
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.store.facts import FactChanges
from mcp_hitl.store.moved import Moved
from mcp_hitl.store.sql.database import Database
from mcp_hitl.store.unreadable import reading

_MOST_MACHINES = 100
"""Inboxes that are remembered: a machine has another name after each start."""
_MOST_BOOTS = 64


class SqlFacts(FactChanges):
    """`FactChanges` in statements that every database understands."""

    def __init__(self, db: Database) -> None:
        """Use `db`."""
        self._db = db
        self._all: dict[str, str] | None = None
        self._mark: datetime | None = None
        """Both remembered within one transaction: there are few, and each transaction needs several."""

    @reading
    def mark(self) -> datetime:
        if self._mark is None:
            self._mark = from_ms(int(self._fact("clock")))
        return self._mark

    def fault(self) -> str | None:
        return self._db.words.fault(self._db)

    def database_id(self) -> str:
        return self._fact("database")

    def governed(self) -> bool:
        return self._fact("governed") == "yes"

    def policy(self) -> str | None:
        return self._fact("policy") or None

    @reading
    def profile(self) -> Profile:
        return Profile(self._fact("profile"))

    def restored(self) -> int | None:
        value = self._fact("restored")
        return None if not value else int(value) if value.isdecimal() else 0

    @reading
    def moved(self) -> Moved | None:
        return Moved.read(self._read().get("moved", ""))

    @reading
    def boot(self, boot_id: str | None) -> Boot | None:
        for boot in self._boots():
            if boot.id == boot_id:
                return boot
        return None

    def inbox(self, machine: str | None = None) -> Origin | None:
        for line in self._fact("inbox").splitlines():
            # Where there is one machine only, earlier versions wrote after the address how the port was chosen.
            address, _, there = line.partition(" ")
            if machine is None or there == machine:
                with suppress(ValueError):  # it leads nowhere
                    return Origin.parse(address)
        return None

    def spent_ports(self) -> tuple[int, ...]:
        return tuple(int(port) for port in self._fact("spent-ports").split() if port.isdecimal())

    def remember(self, now: datetime) -> None:
        self._set_fact("clock", str(to_ms(now)))
        self._mark = None

    def set_governed(self) -> None:
        self._set_fact("governed", "yes")

    def set_policy(self, digest: str) -> None:
        self._set_fact("policy", digest)

    def set_profile(self, profile: Profile) -> None:
        self._set_fact("profile", profile.value)

    def set_restored(self, known: int | None) -> None:
        self._set_fact("restored", "" if known is None else str(known))

    def set_moved(self, moved: Moved | None) -> None:
        self._set_fact("moved", "" if moved is None else str(moved))

    def set_boot(self, boot: Boot) -> None:
        boots = [*(one for one in self._boots() if one.id != boot.id), boot][-_MOST_BOOTS:]
        self._set_fact("boot", "\n".join(f"{one.id} {to_ms(one.at)}" for one in boots))

    def set_inbox(self, address: Origin | None, machine: str | None = None) -> None:
        kept = [] if machine is None else self._fact("inbox").splitlines()
        lines = [line for line in kept if line.partition(" ")[2] != machine]
        if address is not None:
            lines.append(str(address) if machine is None else f"{address} {machine}")
        self._set_fact("inbox", "\n".join(lines[-_MOST_MACHINES:]))

    def set_spent_ports(self, ports: Sequence[int]) -> None:
        self._set_fact("spent-ports", " ".join(map(str, ports)))

    def _boots(self) -> list[Boot]:
        """Return the starts of computers that are recorded, the latest recorded last."""
        lines = (line.partition(" ") for line in self._fact("boot").splitlines())
        return [Boot(boot_id, from_ms(int(at))) for boot_id, _, at in lines if at]

    @reading
    def _fact(self, name: str) -> str:
        return self._read()[name]

    def _read(self) -> dict[str, str]:
        if self._all is None:
            self._all = dict(self._db.execute("SELECT name, value FROM facts"))
        return self._all

    def _set_fact(self, name: str, value: str) -> None:
        self._db.execute("UPDATE facts SET value = ? WHERE name = ?", (value, name))
        self._all = None

    def remember_all(self, facts: dict[str, str]) -> None:
        """Take these for the facts until `forget`."""
        self._all = facts

    def forget(self) -> None:
        """Forget what was remembered."""
        self._all = self._mark = None
