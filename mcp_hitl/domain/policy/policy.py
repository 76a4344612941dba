"""Who may decide, in which order, how many people must, and how sure we must be that a person did."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from mcp_hitl.domain.policy.people import GROUP, People
from mcp_hitl.domain.policy.principal import LOCAL, Principal
from mcp_hitl.domain.values.canonical import JsonObject


class Verdict(StrEnum):
    """The two possible decisions."""

    APPROVE = "approve"
    REJECT = "reject"


class Assurance(StrEnum):
    """How sure we are that a person other than the agent decided; in ascending order."""

    NONE = "none"
    """Nobody was asked: a script used `--yes`, or a policy rule decided."""
    LOCAL = "local"
    """Somebody at the requester's own machine, in a form of the client or in the terminal."""
    SESSION = "session"
    """A person who signed in with a credential that the requester does not have."""
    STEP_UP = "step-up"
    """A person who has just authenticated again."""

    def at_least(self, least: "Assurance") -> bool:
        """Return True if this assurance is equal to `least` or higher."""
        order = list(Assurance)
        return order.index(self) >= order.index(least)


class Profile(StrEnum):
    """The type of installation."""

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
    """A step of the decision: `quorum` approvals by people whom `approvers` lists (ids, `group:NAME`, `local`)."""

    approvers: tuple[str, ...] = (LOCAL,)
    quorum: int = 1
    escalate: tuple[Escalation, ...] = ()

    @property
    def everybody(self) -> tuple[str, ...]:
        """Every approver entry of the stage, including those it escalates to."""
        return (*self.approvers, *(name for step in self.escalate for name in step.to))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of one approval, copied onto it when it is opened. The defaults suit one person's machine.

    `members` lists who was in each group then. Reminders and escalations count from the moment a stage began.
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
        """Return the policy in the form that is stored and digested for the log."""
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
        """Return True if a decision with this assurance is accepted at all."""
        return assurance.at_least(self.assurance) or (assurance is Assurance.NONE and self.unattended)

    def named(self) -> Iterator[str]:
        """Yield every approver entry of every stage."""
        for stage in self.stages:
            yield from stage.everybody

    def with_members(self, people: People) -> "Policy":
        """Return the copy for an approval that is opened now; the same object if no entry is a group."""
        members = people.members(self.named())
        return self if members == self.members else replace(self, members=members)

    def admits(self, entries: tuple[str, ...], principal: Principal, rights: "Rights") -> bool:
        """Return True if an entry meant this principal when the approval was opened and still does (THREATS T21)."""
        return any(_means(entry, principal, self.members) and rights.still(entry, principal) for entry in entries)


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights that a policy gives people now, for one payload. A removed right is gone for pending approvals too."""

    entries: frozenset[str]
    people: People

    def still(self, entry: str, principal: Principal) -> bool:
        """Return True if `entry` is still in a stage for such a payload and still means this principal."""
        return entry in self.entries and _means(entry, principal, self.people.groups)

    def name(self, principal: Principal) -> bool:
        """Return True if this principal could decide such a payload, in any stage, if it were requested now."""
        return any(self.still(entry, principal) for entry in self.entries)


def _means(entry: str, principal: Principal, groups: Mapping[str, frozenset[str]]) -> bool:
    if entry == LOCAL:
        return principal.is_local
    if entry.startswith(GROUP):
        return principal.id in groups.get(entry.removeprefix(GROUP), frozenset())
    return entry == principal.id
