"""Who may decide, in which order, how many, and how sure we must be that a person did."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.people import GROUP, People
from mcp_hitl.domain.principal import LOCAL, Principal


class Verdict(StrEnum):
    """What an approver can say."""

    APPROVE = "approve"
    REJECT = "reject"


class Assurance(StrEnum):
    """How sure we are that a person other than the agent decided; in ascending order."""

    NONE = "none"
    """Nobody was asked: a script with `--yes`, or a rule of the policy."""
    LOCAL = "local"
    """Somebody at the requester's own machine: a form in the client, the terminal."""
    SESSION = "session"
    """Signed in as a person, with a credential that the requester does not hold."""
    STEP_UP = "step-up"
    """Freshly re-authenticated."""

    def at_least(self, least: "Assurance") -> bool:
        """Whether this is as much as `least` or more."""
        order = list(Assurance)
        return order.index(self) >= order.index(least)


class Profile(StrEnum):
    """What kind of place this is."""

    SOLO = "solo"
    """One person's machine: the person at it may approve what their own agent asks."""
    TEAM = "team"
    """Requester and approver differ, and approvers sign in."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """After a stage has waited for `after`, `to` may decide it too."""

    after: timedelta
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the decision: `quorum` approvals by people whom `approvers` names (ids, `group:NAME`, `local`)."""

    approvers: tuple[str, ...] = (LOCAL,)
    quorum: int = 1
    escalate: tuple[Escalation, ...] = ()

    @property
    def everybody(self) -> tuple[str, ...]:
        """Everybody whom it names, also those it escalates to."""
        return (*self.approvers, *(name for step in self.escalate for name in step.to))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of one approval, copied onto it when it is opened. The defaults are those of one person's machine.

    `members` is who was in each group then. Reminders and escalations count from the moment a stage began.
    """

    stages: tuple[Stage, ...] = (Stage(),)
    rejections: int = 1
    assurance: Assurance = Assurance.LOCAL
    unattended: bool = False
    four_eyes: bool = False
    editor_may_approve: bool = True
    one_stage_each: bool = False
    valid_for: timedelta | None = None
    remind_after: tuple[timedelta, ...] = ()
    members: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    def as_json(self) -> JsonObject:
        """The policy as it is stored, and as its digest stands in the log."""
        return {
            "stages": [
                {
                    "approvers": list(stage.approvers),
                    "quorum": stage.quorum,
                    "escalate": [[step.after.total_seconds(), list(step.to)] for step in stage.escalate],
                }
                for stage in self.stages
            ],
            "rejections": self.rejections,
            "assurance": self.assurance.value,
            "unattended": self.unattended,
            "four_eyes": self.four_eyes,
            "editor_may_approve": self.editor_may_approve,
            "one_stage_each": self.one_stage_each,
            "valid_for": None if self.valid_for is None else self.valid_for.total_seconds(),
            "remind_after": [after.total_seconds() for after in self.remind_after],
            "members": {name: sorted(members) for name, members in self.members.items()},
        }

    def counts(self, assurance: Assurance) -> bool:
        """Whether a decision of this assurance is taken at all."""
        return assurance.at_least(self.assurance) or (assurance is Assurance.NONE and self.unattended)

    def named(self) -> Iterator[str]:
        """Every approver entry of every stage."""
        for stage in self.stages:
            yield from stage.everybody

    def with_members(self, people: People) -> "Policy":
        """The copy for an approval that is opened now; the very same where nobody stands for others."""
        members = people.members(self.named())
        return self if members == self.members else replace(self, members=members)

    def admits(self, entries: tuple[str, ...], principal: Principal, rights: "Rights") -> bool:
        """Whether one of `entries` means this principal: when the approval was opened, and still (THREATS T21)."""
        return any(_means(entry, principal, self.members) and rights.still(entry, principal) for entry in entries)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a policy gives to people now, of one payload: taken away means gone, also for what is pending."""

    entries: frozenset[str]
    people: People

    def still(self, entry: str, principal: Principal) -> bool:
        """Whether `entry` still stands in a stage of such a payload, and still means this principal."""
        return entry in self.entries and _means(entry, principal, self.people.groups)

    def name(self, principal: Principal) -> bool:
        """Whether this principal may decide such a payload if it is asked for now, in whichever stage."""
        return any(self.still(entry, principal) for entry in self.entries)


def _means(entry: str, principal: Principal, groups: Mapping[str, frozenset[str]]) -> bool:
    if entry == LOCAL:
        return principal.is_local
    if entry.startswith(GROUP):
        return principal.id in groups.get(entry.removeprefix(GROUP), frozenset())
    return entry == principal.id
