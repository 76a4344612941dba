"""Everything that is configured: kinds, people, profile. What has been opened keeps its own copy of what it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.kinds import BUILT_IN, Kind
from mcp_hitl.domain.people import People
from mcp_hitl.domain.policy import Policy, Profile, Rights, Verdict
from mcp_hitl.domain.principal import LOCAL
from mcp_hitl.domain.rules import Rule, first_match


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the policy makes of a payload: the rule that matched, its verdict if it decides, and the policy to copy."""

    rule: Rule | None
    verdict: Verdict | None
    policy: Policy


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The configured policy as a whole."""

    kinds: Mapping[str, Kind] = field(default_factory=lambda: BUILT_IN)
    people: People = field(default_factory=People)
    profile: Profile = Profile.SOLO
    written: bool = False
    """Whether somebody has written it, in a policy file."""

    def judge(self, kind: Kind, payload: JsonObject) -> Judgement:
        """Ask the rules about a payload that its kind has admitted; the first that matches counts."""
        rule = first_match(kind.rules, payload)
        policy = kind.policy if rule is None or not rule.stages else replace(kind.policy, stages=rule.stages)
        return Judgement(rule, rule and rule.decide, policy.with_members(self.people))

    def rights(self, kind: str, payload: JsonObject | None) -> Rights:
        """What the policy gives to people now of this payload: all its stages, and whom they escalate to.

        Of one that was erased (None): of any payload of the kind. For a kind that is not configured here: on one
        person's machine to that person, since another program's code may define it; in a team to nobody.
        """
        found = self.kinds.get(kind)
        if found is None:
            entries = frozenset({LOCAL}) if self.profile is Profile.SOLO else frozenset[str]()
        else:
            entries = found.entries() if payload is None else frozenset(self.judge(found, payload).policy.named())
        return Rights(entries, self.people)
