"""The whole configuration: kinds, people, profile. An open approval keeps its own copy of the parts it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mcp_hitl.domain.policy.kinds import BUILT_IN, Kind
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Policy, Profile, Rights, Verdict
from mcp_hitl.domain.policy.principal import LOCAL
from mcp_hitl.domain.policy.rules import Rule, first_match
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid


@dataclass(frozen=True, slots=True)
class Judgement:
    """The policy's answer for a payload: the rule that matched, its verdict if it decides, and the policy to copy."""

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
    """True if the rulebook comes from a policy file."""
    digest: str | None = None
    """The digest of that file's text: `sha256:` and what `sha256sum` prints."""
    mistake: str | None = None
    """What is wrong with the file since the rulebook was read. Until it is mended, nothing is judged."""

    def kind_of(self, name: str, definition: str | None) -> Kind | None:
        """Return the kind under which an approval was asked; None if it is unknown here, or defined in another way.

        Approvals of earlier versions have no definition, and fit any kind of their name.
        """
        kind = self.kinds.get(name)
        return None if kind is None or definition not in (None, kind.definition) else kind

    def judge(self, kind: Kind, payload: JsonObject) -> Judgement:
        """Return the policy's answer for a payload that its kind has admitted; the first matching rule counts.

        Raises:
            Invalid: the policy file has a mistake now.
        """
        self._check_valid()
        rule = first_match(kind.rules, payload)
        policy = kind.policy if rule is None or not rule.stages else replace(kind.policy, stages=rule.stages)
        return Judgement(rule, rule and rule.decide, policy.with_members(self.people))

    def rights(self, kind: str, payload: JsonObject | None) -> Rights:
        """Return the rights that the policy now gives people for this payload: all its stages and their escalations.

        For an erased payload (None), these are the rights for any payload of the kind. If the kind is not configured
        here, the person at the machine may decide it in the solo profile, since another program may define it; in a
        team nobody may.

        Raises:
            Invalid: the policy file has a mistake now.
        """
        self._check_valid()
        found = self.kinds.get(kind)
        if found is None:
            entries = frozenset({LOCAL}) if self.profile is Profile.SOLO else frozenset[str]()
        else:
            entries = found.entries() if payload is None else frozenset(self.judge(found, payload).policy.named())
        return Rights(entries, self.people)

    def completed(self, own: Mapping[str, Kind], first: "Rulebook") -> "Rulebook":
        """Return the rulebook with the kinds that a program runs itself.

        `own` was made while the policy file said `first`. What the program took from there, it takes from the present
        file; a kind that it defined itself stays, unless a team's policy does not name it.
        """
        kinds = dict(self.kinds)
        for name, kind in own.items():
            known, was = self.kinds.get(name), first.kinds.get(name)
            if was is not None and replace(was, flow=kind.flow, title=kind.title, program=kind.program) == kind:
                if known is not None:
                    title = known.title or kind.title
                    kinds[name] = replace(known, flow=kind.flow, title=title, program=kind.program)
            elif known is not None or self.profile is Profile.SOLO:
                kinds[name] = kind
        return replace(self, kinds=kinds)

    def _check_valid(self) -> None:
        if self.mistake is not None:
            raise Invalid(f"Nothing is decided or used until the policy is mended. {self.mistake}")
