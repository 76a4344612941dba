"""The digests of what governs an approval beside its payload."""

from dataclasses import replace

from samples import an_approval

from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.evidence.digests import rules_of
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Policy, Stage


def test_every_policy_has_the_digest_of_what_it_says() -> None:
    for number in range(1, 1_000):  # each dies before the next one is made, and may leave it its place
        policy = Policy(rejections=number)
        for _ in range(2):
            digest = rules_of(an_approval(policy=policy)).policy
            assert digest == content_digest(Policy(rejections=number).as_json())


def test_the_copy_names_who_was_in_the_group_then() -> None:
    policy = Policy(stages=(Stage(("group:finance",)),))
    before, after = (
        policy.with_members(People(groups={"finance": frozenset(members)})) for members in ({"os:ana"}, {"os:bo"})
    )
    assert before == replace(policy, members={"finance": frozenset({"os:ana"})})
    assert after.with_members(People()) == replace(policy, members={"finance": frozenset()})
    assert len({rules_of(an_approval(policy=one)).policy for one in (policy, before, after)}) == 3
