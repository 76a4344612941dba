"""What time does to an approval, in order and each once; and which time it is."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import START, a_decision, an_approval

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.schedule import Timed, TimedEvent, due, next_due
from mcp_hitl.domain.policy.policy import Escalation, Policy, Stage
from mcp_hitl.domain.values.clock import BELIEVABLE, latest, present
from mcp_hitl.domain.values.durations import LONGEST, duration
from mcp_hitl.domain.values.errors import Invalid


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def waiting(*, remind: tuple[float, ...] = (), escalate: tuple[float, ...] = (), **changes: object) -> Approval:
    """An approval that waits since `START`, for 10 hours at most."""
    stage = Stage(escalate=tuple(Escalation(hours(after), ("di",)) for after in escalate))
    policy = Policy(stages=(stage, Stage()), remind_after=tuple(map(hours, remind)))
    timing = {"stage_since": START, "timed_to": START, "expires_at": START + hours(10)}
    return an_approval(**{"policy": policy, **timing, **changes})


def named(events: list[TimedEvent]) -> list[str]:
    return [f"{event.what.name.lower()} {event.number} at {(event.at - START) / hours(1):g}" for event in events]


@pytest.mark.parametrize(
    ("approval", "at", "expected"),
    [
        (waiting(), 9.99, []),
        (waiting(), 10, ["expiry 0 at 10"]),
        (waiting(remind=(1, 4)), 0.99, []),
        (waiting(remind=(1, 4)), 1, ["reminder 0 at 1"]),
        (waiting(remind=(1, 4)), 5, ["reminder 0 at 1", "reminder 1 at 4"]),
        (waiting(remind=(4, 1)), 5, ["reminder 1 at 1", "reminder 0 at 4"]),
        (waiting(remind=(2,), escalate=(1, 2, 3)), 3,
         ["escalation 0 at 1", "reminder 0 at 2", "escalation 1 at 2", "escalation 2 at 3"]),
        (waiting(remind=(2, 11), escalate=(1, 12)), 1_000, ["escalation 0 at 1", "reminder 0 at 2", "expiry 0 at 10"]),
        (waiting(remind=(10,), escalate=(10,)), 10, ["expiry 0 at 10"]),
        (waiting(remind=(1, 4), timed_to=START + hours(1)), 5, ["reminder 1 at 4"]),
        (waiting(remind=(1, 4), timed_to=START + hours(4)), 5, []),
        (waiting(remind=(1,), stage_since=START + hours(3), timed_to=START + hours(3)), 4, ["reminder 0 at 4"]),
        # The second stage has no escalations of its own.
        (waiting(escalate=(1,), decisions=(a_decision(),)), 5, []),
    ],
    ids=str,
)  # fmt: skip
def test_what_has_fallen_due_comes_in_order(approval: Approval, at: float, expected: list[str]) -> None:
    assert named(due(approval, START + hours(at))) == expected


@given(
    remind=st.lists(st.integers(1, 12), max_size=4, unique=True).map(tuple),
    escalate=st.lists(st.integers(1, 12), max_size=4, unique=True).map(tuple),
    looks=st.lists(st.integers(0, 14), min_size=1, max_size=6).map(sorted),
)
def test_however_often_one_looks_each_thing_happens_once_and_nothing_after_expiry(
    remind: tuple[int, ...], escalate: tuple[int, ...], looks: list[int]
) -> None:
    approval = waiting(remind=remind, escalate=escalate)
    happened: list[TimedEvent] = []
    for look in looks:
        now = START + hours(look)
        if happened and happened[-1].what is Timed.EXPIRY:
            break
        fallen = due(approval, now)
        assert bool(fallen) == (next_due(approval) <= now)
        happened += fallen
        approval = replace(approval, timed_to=fallen[-1].at if fallen else approval.timed_to)
    at_once = due(waiting(remind=remind, escalate=escalate), START + hours(looks[-1]))
    assert happened == at_once == sorted(happened)


NOON = START


@pytest.mark.parametrize(
    ("told", "mark", "expected"),
    [
        ("the first time ever", None, 0),
        ("time passes", -5, 0),
        ("the mark is now", 0, 0),
        ("set back by a moment", 0.001, 0.001),
        ("set back by an hour", 1, 1),
        ("set back by a day", 24, 24),
        ("it ran ahead by more than a day", 24.001, 0),
        ("it ran ahead by years", 24 * 3_650, 0),
    ],
)
def test_t14_the_present_is_the_clock_or_the_mark(told: str, mark: float | None, expected: float) -> None:
    stored = None if mark is None else NOON + hours(mark)
    assert present(NOON, stored) == NOON + hours(expected), told
    assert latest(NOON, stored) == NOON + hours(max(mark or 0, 0))


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_t14_the_present_is_never_before_a_believable_mark(clock_ms: int, mark_ms: int) -> None:
    clock, mark = (NOON + timedelta(milliseconds=ms) for ms in (clock_ms, mark_ms))
    now = present(clock, mark)
    assert now >= clock
    assert now >= mark or mark - clock > BELIEVABLE


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("7 days", timedelta(days=7)),
        ("1 day", timedelta(days=1)),
        ("1 hour", timedelta(hours=1)),
        ("30 minutes", timedelta(minutes=30)),
        ("45 seconds", timedelta(seconds=45)),
        ("2 weeks", timedelta(weeks=2)),
        (" 1 hours ", timedelta(hours=1)),
        ("P7D", timedelta(days=7)),
        ("PT1H30M", timedelta(minutes=90)),
        ("P1DT12H", timedelta(hours=36)),
        ("P2W", timedelta(weeks=2)),
        ("PT90S", timedelta(seconds=90)),
        ("3660 days", LONGEST),
    ],
)
def test_a_length_of_time_is_read_as_people_write_it(text: str, span: timedelta) -> None:
    assert duration(text) == span


@pytest.mark.parametrize(
    "text",
    ["", "7", "days", "0 days", "-1 hour", "1.5 hours", "1  hour", "1 month", "1 hour 30 minutes", "P", "PT", "P1DT",
     "P1Y", "PT0S", "1H", "pt1h", "3661 days", "9999999 days", "１ hour", "P99999999999999999999D"],
)  # fmt: skip
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="must be a length of time"):
        duration(text)
