"""Who may decide, and what decisions add up to, as stories."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from samples import START, a_decision, an_approval

from mcp_hitl.domain.approvals.approval import Decision, Status
from mcp_hitl.domain.approvals.quorum import Quorum, quorum_of, resolve
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Assurance, Policy, Rights, Stage, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK, Established, Principal

ONE = Policy()
TWO_OF_FINANCE = Policy(stages=(Stage(("group:finance",), quorum=2),))
FINANCE_THEN_MANAGERS = Policy(stages=(Stage(("group:finance",), quorum=2), Stage(("group:managers",))))
TWO_NOES = Policy(stages=(Stage(("group:finance",), quorum=2),), rejections=2)


def yes(approver: str, stage: int = 1) -> Decision:
    return a_decision(approver, Verdict.APPROVE, stage=stage)


def no(approver: str, stage: int = 1) -> Decision:
    return a_decision(approver, Verdict.REJECT, stage=stage)


@dataclass(frozen=True)
class Story:
    """Some decisions under a policy, how the approval ends, and how far its stage is."""

    told: str
    policy: Policy
    decisions: list[Decision]
    ends: Status | None
    quorum: tuple[int, int, int, int]
    after: timedelta = field(default=timedelta())


STORIES = [
    Story("nobody has looked yet", ONE, [], None, (1, 1, 0, 0)),
    Story("one person says yes", ONE, [yes("ana")], Status.APPROVED, (1, 1, 1, 0)),
    Story("one person says no", ONE, [no("ana")], Status.REJECTED, (1, 1, 0, 1)),
    Story("two are needed and one has spoken", TWO_OF_FINANCE, [yes("ana")], None, (1, 2, 1, 0)),
    Story("two are needed and both agree", TWO_OF_FINANCE, [yes("ana"), yes("bo")], Status.APPROVED, (1, 2, 2, 0)),
    Story("one of two says no", TWO_OF_FINANCE, [yes("ana"), no("bo")], Status.REJECTED, (1, 2, 1, 1)),
    Story("a first no is not enough where two must reject", TWO_NOES, [no("ana")], None, (1, 2, 0, 1)),
    Story("a second no is", TWO_NOES, [no("ana"), yes("bo"), no("cy")], Status.REJECTED, (1, 2, 1, 2)),
    Story("a minority of one is outvoted", TWO_NOES, [no("ana"), yes("bo"), yes("cy")], Status.APPROVED, (1, 2, 2, 1)),
    Story(
        "finance has agreed, the managers come next",
        FINANCE_THEN_MANAGERS,
        [yes("ana"), yes("bo")],
        None,
        (2, 1, 0, 0),
    ),
    Story(
        "finance and a manager agree",
        FINANCE_THEN_MANAGERS,
        [yes("ana"), yes("bo"), yes("cy", stage=2)],
        Status.APPROVED,
        (2, 1, 1, 0),
    ),
    Story(
        "a manager says no to what finance wanted",
        FINANCE_THEN_MANAGERS,
        [yes("ana"), yes("bo"), no("cy", stage=2)],
        Status.REJECTED,
        (2, 1, 0, 1),
    ),
    Story(
        "a manager's yes does not stand in for finance",
        FINANCE_THEN_MANAGERS,
        [yes("ana"), yes("cy", stage=2)],
        None,
        (1, 2, 1, 0),
    ),
    Story("the deadline passed and nobody came", ONE, [], Status.EXPIRED, (1, 1, 0, 0), timedelta(days=7)),
    Story("a millisecond is still left", ONE, [], None, (1, 1, 0, 0), timedelta(days=7, milliseconds=-1)),
    Story("a yes after the deadline", ONE, [yes("ana")], Status.EXPIRED, (1, 1, 1, 0), timedelta(days=7)),
    Story("a no after the deadline", ONE, [no("ana")], Status.EXPIRED, (1, 1, 0, 1), timedelta(days=8)),
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.told)
def test_decisions_add_up_to(story: Story) -> None:
    approval = an_approval(policy=story.policy)
    assert resolve(approval, story.decisions, START + story.after) is story.ends
    assert quorum_of(approval, story.decisions) == Quorum(*story.quorum)


def test_decisions_on_an_earlier_revision_are_no_longer_in_force() -> None:
    approval = an_approval(revision=2, decisions=(a_decision("ana"), a_decision("bo", revision=2)))
    assert [decision.approver for decision in approval.decisions_in_force] == ["bo"]


@pytest.mark.parametrize("status", Status)
def test_only_what_is_pending_is_seen_as_expired_from_its_deadline_on(status: Status) -> None:
    approval = an_approval(status=status)
    before, at = approval.expires_at - timedelta(milliseconds=1), approval.expires_at
    assert approval.seen_at(before) is status
    assert approval.seen_at(at) is (Status.EXPIRED if status is Status.PENDING else status)


@pytest.mark.parametrize(
    ("least", "unattended", "counted"),
    [
        (Assurance.LOCAL, False, {"local", "session", "step-up"}),
        (Assurance.LOCAL, True, {"none", "local", "session", "step-up"}),
        (Assurance.SESSION, False, {"session", "step-up"}),
        (Assurance.SESSION, True, {"none", "session", "step-up"}),
        (Assurance.STEP_UP, False, {"step-up"}),
        (Assurance.NONE, False, {"none", "local", "session", "step-up"}),
    ],
)
def test_a_policy_takes_the_assurance_that_it_asks_for_or_more(
    least: Assurance, unattended: bool, counted: set[str]
) -> None:
    policy = Policy(assurance=least, unattended=unattended)
    assert {assurance.value for assurance in Assurance if policy.counts(assurance)} == counted


PEOPLE = People(groups={"finance": frozenset({"os:ana"}), "managers": frozenset({"os:cy"}), "": frozenset()})
ANA = Principal("os:ana", Established.OS_USER)


def admits(approver: str, who: Principal, *, now: People = PEOPLE, entries: frozenset[str] | None = None) -> bool:
    """Whether an approval that was opened with `approver` under `PEOPLE` may be decided by `who`, as things are now."""
    policy = Policy(stages=(Stage((approver,)),)).with_members(PEOPLE)
    return policy.admits((approver,), who, Rights(frozenset({approver}) if entries is None else entries, now))


@pytest.mark.parametrize(
    ("who", "approver", "meant"),
    [
        (ANA, "local", True),
        (LOOPBACK, "local", True),
        (Principal("os:ana", Established.PROGRAM), "local", False),
        (ANA, "os:ana", True),
        (ANA, "os:an", False),
        (ANA, "OS:ANA", False),
        (ANA, "os:bo", False),
        (ANA, "group:finance", True),
        (ANA, "finance", False),
        (ANA, "group:", False),
        (ANA, "group:managers", False),
        (ANA, "group:unknown", False),
        (Principal("os:cy", Established.OS_USER), "group:finance", False),
        (LOOPBACK, "group:finance", False),
        (LOOPBACK, "os:ana", False),
        (Principal("group:finance", Established.OS_USER), "group:finance", False),
    ],
)
def test_a_policys_approver_means(who: Principal, approver: str, meant: bool) -> None:
    assert admits(approver, who) is meant


@pytest.mark.parametrize(
    ("told", "approver", "now", "entries", "still"),
    [
        ("nothing changed", "group:finance", PEOPLE, None, True),
        ("she left the group", "group:finance", People(groups={"finance": frozenset()}), None, False),
        ("the group is gone", "group:finance", People(), None, False),
        ("the policy does not name her any more", "os:ana", PEOPLE, frozenset({"os:bo"}), False),
        ("the policy names her still", "os:ana", PEOPLE, frozenset({"os:bo", "os:ana"}), True),
        ("the machine does not count any more", "local", PEOPLE, frozenset({"os:ana"}), False),
    ],
)
def test_t21_a_right_counts_while_it_is_given(
    told: str, approver: str, now: People, entries: frozenset[str] | None, still: bool
) -> None:
    assert admits(approver, ANA, now=now, entries=entries) is still


def test_t21_a_right_that_came_later_is_none_on_what_is_pending() -> None:
    bo = Principal("os:bo", Established.OS_USER)
    joined = People(groups={"finance": frozenset({"os:ana", "os:bo"})})
    assert not admits("group:finance", bo, now=joined)
