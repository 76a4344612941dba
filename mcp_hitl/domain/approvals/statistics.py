"""Statistics about decisions in a span of time: counts, rates and medians, by kind and by person."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mcp_hitl.domain.approvals.approval import Status, is_hasty
from mcp_hitl.domain.policy.policy import Verdict


@dataclass(frozen=True, slots=True)
class Ended:
    """One approval that has left `pending`, with the fields that the statistics need."""

    kind: str
    status: Status
    waited: timedelta
    """The time from the request to the resolution."""
    by_rule: bool
    """True if a policy rule decided it."""
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Given:
    """One decision by a person on such an approval, with the fields that the statistics need."""

    kind: str
    approver: str
    verdict: Verdict
    waited: timedelta
    """The time from the request to the decision."""
    looked: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KindNumbers:
    """The results of one kind. `rate` is approved / (approved + rejected), None if both are 0."""

    kind: str
    resolved: int
    approved: int
    rejected: int
    expired: int
    cancelled: int
    by_rule: int
    """The number of approvals that a policy rule decided."""
    hasty: int
    """The number of decisions that people made faster than a person can read (THREATS T18)."""
    rate: float | None
    median_wait: timedelta
    """The median time from request to resolution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonNumbers:
    """One person's decisions, including those on stages and revisions that did not settle the approval."""

    person: str
    decided: int
    approved: int
    rejected: int
    hasty: int
    rate: float
    """approved / decided"""
    median_wait: timedelta
    """The median time from request to this person's decision."""
    median_looked: timedelta | None
    """The median time that the person had the approval on screen; None if no front-end measured it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The approvals resolved from `since` to `until`, the most frequent kinds and people first.

    `complete` is False if there was more than we count; `since` is then the instant from which we counted.
    """

    since: datetime
    until: datetime
    complete: bool
    kinds: tuple[KindNumbers, ...]
    people: tuple[PersonNumbers, ...]
    unreadable: int = 0
    """The number of rows that cannot be read; they are not counted."""


def by_kind(ended: Iterable[Ended], given: Iterable[Given]) -> tuple[KindNumbers, ...]:
    """Return one row for each kind that has a resolved approval, the most frequent kind first."""
    grouped: defaultdict[str, list[Ended]] = defaultdict(list)
    for one in ended:
        grouped[one.kind].append(one)
    hasty = Counter(decision.kind for decision in given if is_hasty(decision.looked))
    rows = [_of_kind(kind, held, hasty[kind]) for kind, held in grouped.items()]
    return tuple(sorted(rows, key=lambda row: (-row.resolved, row.kind)))


def by_person(given: Iterable[Given]) -> tuple[PersonNumbers, ...]:
    """Return one row for each person who decided something, the most active person first."""
    grouped: defaultdict[str, list[Given]] = defaultdict(list)
    for decision in given:
        grouped[decision.approver].append(decision)
    rows = [_of_person(person, held) for person, held in grouped.items()]
    return tuple(sorted(rows, key=lambda row: (-row.decided, row.person)))


def median(spans: Sequence[timedelta]) -> timedelta:
    """Return the middle value, or the mean of the two middle ones. `spans` must not be empty."""
    ordered, middle = sorted(spans), len(spans) // 2
    return ordered[middle] if len(spans) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _of_kind(kind: str, held: list[Ended], hasty: int) -> KindNumbers:
    count = Counter(one.status for one in held)
    decided = count[Status.APPROVED] + count[Status.REJECTED]
    return KindNumbers(
        kind=kind,
        resolved=len(held),
        approved=count[Status.APPROVED],
        rejected=count[Status.REJECTED],
        expired=count[Status.EXPIRED],
        cancelled=count[Status.CANCELLED],
        by_rule=sum(one.by_rule for one in held),
        hasty=hasty,
        rate=count[Status.APPROVED] / decided if decided else None,
        median_wait=median([one.waited for one in held]),
    )


def _of_person(person: str, held: list[Given]) -> PersonNumbers:
    approved = sum(decision.verdict is Verdict.APPROVE for decision in held)
    looked = [decision.looked for decision in held if decision.looked is not None]
    return PersonNumbers(
        person=person,
        decided=len(held),
        approved=approved,
        rejected=len(held) - approved,
        hasty=sum(is_hasty(decision.looked) for decision in held),
        rate=approved / len(held),
        median_wait=median([decision.waited for decision in held]),
        median_looked=median(looked) if looked else None,
    )
