"""What the numbers are made of: counts, rates and medians, as tables of cases."""

from datetime import timedelta

import pytest
from samples import START

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.statistics import Ended, Given, by_kind, by_person, median
from mcp_hitl.domain.policy.policy import Verdict


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def ended(status: Status = Status.APPROVED, waited: float = 60, kind: str = "expense", by_rule: bool = False) -> Ended:
    return Ended(kind, status, seconds(waited), by_rule, START)


def given(who: str, verdict: Verdict = Verdict.APPROVE, waited: float = 60, looked: float | None = None) -> Given:
    return Given("expense", who, verdict, seconds(waited), None if looked is None else seconds(looked))


@pytest.mark.parametrize(
    ("spans", "middle"),
    [([5], 5), ([1, 9], 5), ([9, 1, 2], 2), ([4, 1, 3, 2], 2.5), ([7, 7, 7], 7), ([0, 0], 0)],
)
def test_the_median_is_the_middle_one_or_the_mean_of_both(spans: list[float], middle: float) -> None:
    assert median([seconds(span) for span in spans]) == seconds(middle)


@pytest.mark.parametrize(
    ("statuses", "rate"),
    [
        ([Status.APPROVED], 1.0),
        ([Status.REJECTED], 0.0),
        ([Status.APPROVED, Status.APPROVED, Status.APPROVED, Status.REJECTED], 0.75),
        ([Status.APPROVED, Status.REJECTED, Status.EXPIRED, Status.CANCELLED], 0.5),
        ([Status.EXPIRED, Status.CANCELLED], None),
    ],
)
def test_a_kinds_rate_is_of_what_was_decided(statuses: list[Status], rate: float | None) -> None:
    (row,) = by_kind([ended(status) for status in statuses], [])
    counts = [row.approved, row.rejected, row.expired, row.cancelled]
    assert row.rate == rate and row.resolved == len(statuses) == sum(counts)
    wanted = (Status.APPROVED, Status.REJECTED, Status.EXPIRED, Status.CANCELLED)
    assert counts == [statuses.count(status) for status in wanted]


def test_a_kind_tells_what_rules_decided_and_what_people_decided_hastily() -> None:
    held = [ended(waited=0, by_rule=True), ended(waited=30), ended(waited=90)]
    looks = [None, 0, 1.999, 2, 60]
    (row,) = by_kind(held, [given("ana", looked=looked) for looked in looks])
    assert (row.by_rule, row.hasty, row.median_wait) == (1, 2, seconds(30))


def test_kinds_come_busiest_first_and_then_by_name() -> None:
    rows = by_kind([ended(kind=kind) for kind in ("b", "c", "c", "a")], [])
    assert [(row.kind, row.resolved) for row in rows] == [("c", 2), ("a", 1), ("b", 1)]


def test_a_person_is_told_by_what_they_decided_themselves() -> None:
    rows = by_person(
        [
            given("ana", waited=10, looked=1),
            given("ana", Verdict.REJECT, waited=20, looked=5),
            given("ana", waited=60),
            given("bo", Verdict.REJECT, waited=7),
        ]
    )
    ana, bo = rows
    assert (ana.person, ana.decided, ana.approved, ana.rejected, ana.hasty) == ("ana", 3, 2, 1, 1)
    assert (ana.rate, ana.median_wait, ana.median_looked) == (2 / 3, seconds(20), seconds(3))
    assert (bo.person, bo.decided, bo.rate, bo.median_wait, bo.median_looked) == ("bo", 1, 0.0, seconds(7), None)


def test_where_nothing_ended_there_are_no_rows() -> None:
    assert by_kind([], []) == by_person([]) == ()
