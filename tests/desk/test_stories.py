"""Who decides, in which order, how many: each policy as a story of people and what the desk answers them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from team_samples import AGENT, FINANCE, LADDER, PAIR, PEOPLE, a_rulebook, person, told

from mcp_hitl.desk import Desk
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Assurance, Policy, Profile, Stage
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import NotAllowed

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]


@dataclass(frozen=True)
class Story:
    """What people do one after the other, and what the desk says to each."""

    title: str
    policy: Policy
    acts: list[tuple[str, str]]
    requester: Principal = AGENT
    people: People = PEOPLE


STRANGER = "not_allowed: at this stage. It needs one of"
SECOND = "conflict: already decided"

STORIES = [
    Story(
        "two of finance agree",
        PAIR,
        [("ana approves", "stage 1, 1 of 2"), ("cy approves", STRANGER), ("bo approves", "approved")],
    ),
    Story(
        "the same person does not make two",
        PAIR,
        [("ana approves", "stage 1, 1 of 2"), ("ana approves", SECOND), ("ana rejects", SECOND)],
    ),
    Story("the first no ends it", PAIR, [("ana approves", "stage 1, 1 of 2"), ("bo rejects", "rejected")]),
    Story(
        "stages come in their order",
        LADDER,
        [
            ("cy approves", STRANGER),
            ("bo approves", "stage 2, 0 of 1"),
            ("eve approves", STRANGER),
            ("cy approves", "approved"),
        ],
    ),
    Story(
        "a stage that is over is over for everybody in it",
        Policy(stages=(FINANCE, Stage(("group:managers",), 2))),
        [("bo approves", "stage 2, 0 of 2"), ("eve rejects", STRANGER), ("cy approves", "stage 2, 1 of 2")],
    ),
    Story(
        "who is in two groups may decide both stages",
        LADDER,
        [("ana approves", "stage 2, 0 of 1"), ("ana approves", "approved")],
    ),
    Story(
        "unless each person counts in one stage only",
        replace(LADDER, one_stage_each=True),
        [
            ("ana approves", "stage 2, 0 of 1"),
            ("ana approves", "not_allowed: an earlier stage"),
            ("cy approves", "approved"),
        ],
    ),
    Story(
        "who counted in one stage may still say no in the next",
        replace(LADDER, one_stage_each=True),
        [("ana approves", "stage 2, 0 of 1"), ("ana rejects", "rejected")],
    ),
    Story(
        "two have to reject, and one of them is outvoted",
        replace(PAIR, rejections=2),
        [
            ("ana rejects", "stage 1, 0 of 2, 1 against"),
            ("bo approves", "stage 1, 1 of 2, 1 against"),
            ("eve approves", "approved"),
        ],
    ),
    Story(
        "two have to reject, and two do",
        replace(PAIR, rejections=2),
        [("ana rejects", "stage 1, 0 of 2, 1 against"), ("bo rejects", "rejected")],
    ),
    Story(
        "rejections of different stages add up",
        replace(LADDER, rejections=2),
        [
            ("bo rejects", "stage 1, 0 of 1, 1 against"),
            ("eve approves", "stage 2, 0 of 1, 1 against"),
            ("cy rejects", "rejected"),
        ],
    ),
    Story(
        "one person who rejects in both stages is one person",
        replace(LADDER, rejections=2),
        [
            ("ana rejects", "stage 1, 0 of 1, 1 against"),
            ("bo approves", "stage 2, 0 of 1, 1 against"),
            ("ana rejects", "stage 2, 0 of 1, 1 against"),
            ("cy approves", "approved"),
        ],
    ),
    Story(
        "four eyes: who asked does not decide, neither way",
        replace(PAIR, four_eyes=True),
        [
            ("ana approves", "not_allowed: your own request"),
            ("ana rejects", "not_allowed: your own request"),
            ("ana edits it to 2", "not_allowed: your own request"),
            ("bo approves", "stage 1, 1 of 2"),
            ("eve approves", "approved"),
        ],
        requester=person("ana"),
    ),
    Story(
        "four eyes: nor under another account",
        replace(PAIR, four_eyes=True),
        [("ana.b approves", "not_allowed: your own request")],
        requester=person("ana"),
    ),
    Story(
        "four eyes: nor what was asked from another account",
        replace(PAIR, four_eyes=True),
        [("ana approves", "not_allowed: your own request"), ("ana.b rejects", "not_allowed: your own request")],
        requester=person("ana.b"),
    ),
    Story(
        "without four eyes who asked may decide",
        Policy(stages=(FINANCE,)),
        [("ana approves", "approved")],
        requester=person("ana"),
    ),
    Story(
        "the least assurance that counts",
        replace(PAIR, assurance=Assurance.SESSION),
        [
            ("ana approves", "not_allowed: requires the assurance session; this decision would have local"),
            ("ana approves unattended", "not_allowed: unattended = false"),
            ("ana approves signed in", "stage 1, 1 of 2"),
            ("bo rejects", "not_allowed: requires the assurance session"),
            ("bo approves signed in afresh", "approved"),
        ],
    ),
    Story(
        "a script decides where the policy says so",
        replace(PAIR, unattended=True),
        [("ana approves unattended", "stage 1, 1 of 2"), ("bo approves unattended", "approved")],
    ),
    Story(
        "and nothing between a script and what is asked for",
        replace(PAIR, unattended=True, assurance=Assurance.SESSION),
        [
            ("ana approves", "not_allowed: requires the assurance session"),
            ("ana approves unattended", "stage 1, 1 of 2"),
        ],
    ),
    Story(
        "an edit clears what was decided",
        PAIR,
        [
            ("ana approves", "stage 1, 1 of 2"),
            ("bo edits it to 2", "stage 1, 0 of 2"),
            ("eve approves", "stage 1, 1 of 2"),
            ("ana approves", "approved"),
        ],
    ),
    Story(
        "an edit of the second stage begins with the first again",
        LADDER,
        [
            ("bo approves", "stage 2, 0 of 1"),
            ("bo edits it to 2", STRANGER),
            ("cy edits it to 2", "stage 1, 0 of 1"),
            ("cy approves", STRANGER),
            ("bo approves", "stage 2, 0 of 1"),
            ("cy approves", "approved"),
        ],
    ),
    Story(
        "who edited it does not approve it",
        replace(PAIR, editor_may_approve=False),
        [
            ("ana edits it to 2", "stage 1, 0 of 2"),
            ("ana approves", "not_allowed: You edited"),
            ("ana.b approves", "not_allowed: You edited"),
            ("bo edits it to 3", "stage 1, 0 of 2"),
            ("ana approves", "not_allowed: You edited"),
            ("bo rejects", "rejected"),
        ],
    ),
    Story(
        "unless the policy says that they may",
        replace(PAIR, editor_may_approve=True),
        [("ana edits it to 2", "stage 1, 0 of 2"), ("ana approves", "stage 1, 1 of 2"), ("bo approves", "approved")],
    ),
    Story(
        "a person who is named alone, beside a group",
        Policy(
            stages=(
                Stage(
                    ("zoe", "group:board"),
                ),
            )
        ),
        [("ana approves", STRANGER), ("zo approves", STRANGER), ("zoe approves", "approved")],
    ),
    Story("whoever signs in elsewhere is not at the machine", Policy(), [("ana approves", STRANGER)]),
    Story(
        "what has ended stays as it is",
        PAIR,
        [
            ("bo cancels", "not_allowed: only its requester"),
            ("agent cancels", "cancelled"),
            ("agent cancels", "already_resolved: was cancelled"),
            ("ana approves", "already_resolved: was cancelled"),
            ("ana edits it to 2", "already_resolved: was cancelled"),
        ],
    ),
    Story(
        "a cooldown is lifted by who may decide, once",
        PAIR,
        [
            ("bo lifts the cooldown", "conflict: has no cooldown"),
            ("ana rejects", "rejected"),
            ("agent lifts the cooldown", "not_allowed: Only somebody who may decide"),
            ("cy lifts the cooldown", "not_allowed: Only somebody who may decide"),
            ("bo lifts the cooldown", "rejected"),
            ("bo lifts the cooldown", "conflict: has no cooldown"),
        ],
    ),
    Story(
        "and with as much assurance as deciding it took",
        replace(PAIR, assurance=Assurance.SESSION),
        [
            ("ana rejects signed in", "rejected"),
            ("bo lifts the cooldown", "not_allowed: requires the assurance session"),
            ("bo lifts the cooldown signed in", "rejected"),
        ],
    ),
    Story(
        "nor by who asked, where four eyes have to see it",
        replace(PAIR, four_eyes=True),
        [("bo rejects", "rejected"), ("ana.b lifts the cooldown", "not_allowed: your own request")],
        requester=person("ana"),
    ),
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.title)
async def test_a_policy_is_told_as_a_story(under: Under, story: Story) -> None:
    desk = under(a_rulebook(story.policy, story.people))
    approval = await desk.approvals.submit(story.requester, "thing", {"n": 1})
    for sentence, expected in story.acts:
        answer = await told(desk, approval, sentence)
        code, _, fragment = expected.partition(": ")
        assert (answer.startswith(code + ": ") and fragment in answer) if fragment else answer == expected, sentence
    assert (await desk.evidence.verify()).wrong is None


async def test_t19_one_person_with_two_accounts_counts_once(under: Under) -> None:
    desk = under(a_rulebook(PAIR))
    approval = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    assert await told(desk, approval, "ana approves") == "stage 1, 1 of 2"
    assert (await told(desk, approval, "ana.b approves")).startswith("conflict: You have already decided")
    assert (await told(desk, approval, "ana.b rejects")).startswith("conflict: You have already decided")
    now = await desk.approvals.get(AGENT, approval.id)
    assert [decision.approver for decision in now.decisions] == ["ana"]


async def test_t19_the_other_account_alone_is_recorded_as_the_person(under: Under) -> None:
    desk = under(a_rulebook(PAIR))
    approval = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    assert await told(desk, approval, "ana.b approves") == "stage 1, 1 of 2"
    assert (await desk.approvals.get(AGENT, approval.id)).decisions[0].approver == "ana"
    (_, decided) = (await desk.approvals.trail(AGENT, approval.id)).entries
    assert decided.entry.actor == "ana"


async def test_t19_accounts_that_are_mapped_later_are_one_person_from_then_on(under: Under) -> None:
    strangers = People(groups={"finance": frozenset({"ana", "ana.b", "bo"})})
    approval = await under(a_rulebook(PAIR, strangers)).approvals.submit(AGENT, "thing", {"n": 1})
    assert await told(under(a_rulebook(PAIR, strangers)), approval, "ana.b approves") == "stage 1, 1 of 2"
    mapped = under(a_rulebook(PAIR, replace(strangers, aliases={"ana.b": "ana"})))
    assert (await told(mapped, approval, "ana approves")).startswith("conflict: You have already decided")
    assert await told(mapped, approval, "bo approves") == "approved"


async def test_what_a_person_asks_from_two_accounts_is_asked_by_one(under: Under) -> None:
    desk = under(a_rulebook(PAIR))
    first = await desk.approvals.submit(person("ana"), "thing", {"n": 1})
    again = await desk.approvals.submit(person("ana.b"), "thing", {"n": 1})
    assert (again.id, again.asked, again.requester) == (first.id, 2, "ana")


async def test_a_database_of_a_team_is_not_opened_as_one_persons(under: Under) -> None:
    team, solo = under(a_rulebook(PAIR)), under(replace(a_rulebook(PAIR), profile=Profile.SOLO))
    await solo.check_policy()
    await team.check_policy()
    await team.check_policy()
    with pytest.raises(NotAllowed, match="belongs to a team"):
        await solo.check_policy()


async def test_what_a_policy_file_governs_is_not_used_without_one(under: Under) -> None:
    unwritten = under(a_rulebook(PAIR))
    written = under(replace(a_rulebook(PAIR), written=True))
    await unwritten.check_policy()
    await written.check_policy()
    with pytest.raises(NotAllowed, match="--config or in MCP_HITL_CONFIG"):
        await unwritten.check_policy()
    await written.check_policy()
