"""Explains what would happen to a payload, and why, without asking anybody: the answer of `policy explain`."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.people import GROUP
from mcp_hitl.domain.policy.policy import Policy, Profile, Stage, Verdict
from mcp_hitl.domain.policy.rulebook import Judgement, Rulebook
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.instants import in_words
from mcp_hitl.domain.values.schemas import check_against


class Ending(StrEnum):
    """What happens to a payload immediately."""

    REFUSED = "refused"
    """The payload does not fit its kind; nothing is stored."""
    APPROVED = "approved"
    """A rule approves it. People are asked instead once the rule has used up its daily limit."""
    REJECTED = "rejected"
    """A rule rejects it."""
    HELD = "held"
    """People have to decide."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule that was checked, and the reason why it does not apply; None for the rule that does."""

    name: str
    because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The complete answer. The fields after `refusal` are set only if the payload is not refused."""

    kind: Kind
    profile: Profile
    ending: Ending
    refusal: str | None = None
    title: str | None = None
    digest: str | None = None
    considered: tuple[Considered, ...] = ()
    judgement: Judgement | None = None

    def shape(self) -> JsonObject:
        """Return the answer as JSON for programs, with lengths of time written as in a policy file."""
        shape: JsonObject = {"kind": self.kind.name, "profile": self.profile.value, "outcome": self.ending.value}
        if self.judgement is None:
            return shape | {"refusal": self.refusal}
        rule, policy = self.judgement.rule, self.judgement.policy
        return shape | {
            "title": self.title,
            "digest": self.digest,
            "rule": rule and rule.name,
            "max_per_day": rule and rule.max_per_day,
            "rules": [{"name": c.name, "holds": c.because is None, "because": c.because} for c in self.considered],
            "stages": [_stage(policy, stage) for stage in policy.stages],
            "rejections": policy.rejections,
            "assurance": policy.assurance.value,
            "unattended": policy.unattended,
            "four_eyes": policy.four_eyes,
            "editor_may_approve": policy.editor_may_approve,
            "one_stage_each": policy.one_stage_each,
            "remind_after": [in_words(span, exactly=True) for span in policy.remind_after],
            "timeout": in_words(self.kind.timeout, exactly=True),
            "cooldown": self.kind.cooldown and in_words(self.kind.cooldown, exactly=True),
            "valid_for": policy.valid_for and in_words(policy.valid_for, exactly=True),
            "form": self.kind.form is not None,
            "flow": self.kind.flow,
        }


def explain(rulebook: Rulebook, kind_name: str, payload: object) -> Explanation:
    """Return what would happen to `payload`, and why.

    Raises:
        Invalid: there is no such kind.
    """
    kind = rulebook.kinds.get(kind_name)
    if kind is None:
        raise Invalid(f"There is no such kind. Use one of: {', '.join(sorted(rulebook.kinds))}.")
    if not isinstance(payload, dict):
        return Explanation(
            kind=kind, profile=rulebook.profile, ending=Ending.REFUSED, refusal="payload must be an object."
        )
    payload = cast("JsonObject", payload)
    try:
        admitted = kind.admit(payload)
    except Invalid as refusal:
        return Explanation(kind=kind, profile=rulebook.profile, ending=Ending.REFUSED, refusal=str(refusal))
    judgement = rulebook.judge(kind, payload)
    endings = {None: Ending.HELD, Verdict.APPROVE: Ending.APPROVED, Verdict.REJECT: Ending.REJECTED}
    return Explanation(
        kind=kind,
        profile=rulebook.profile,
        ending=endings[judgement.verdict],
        title=kind.title_of(payload, None),
        digest=admitted.digest,
        considered=tuple(_considered(kind, payload, judgement)),
        judgement=judgement,
    )


def people_of(policy: Policy, entries: Iterable[str]) -> list[str]:
    """Return the people whom approver entries mean, sorted, by the groups that are copied onto the policy."""
    found: set[str] = set()
    for entry in entries:
        found |= policy.members.get(entry.removeprefix(GROUP), frozenset()) if entry.startswith(GROUP) else {entry}
    return sorted(found)


def _considered(kind: Kind, payload: JsonObject, judgement: Judgement) -> Iterable[Considered]:
    for rule in kind.rules:
        if rule is judgement.rule:
            yield Considered(rule.name, None)
            return
        try:
            check_against(rule.when, payload, what="payload")
        except Invalid as mistake:
            yield Considered(rule.name, str(mistake))


def _stage(policy: Policy, stage: Stage) -> JsonObject:
    return {
        "approvers": list(stage.approvers),
        "people": people_of(policy, stage.approvers),
        "quorum": stage.quorum,
        "escalate": [
            {"after": in_words(step.after, exactly=True), "to": list(step.to), "people": people_of(policy, step.to)}
            for step in stage.escalate
        ],
    }
