"""Policies as text for people: a summary of the policy in force, and what would happen to one payload."""

from dataclasses import replace

from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.people import GROUP, People
from mcp_hitl.domain.policy.policy import Policy, Stage, Verdict
from mcp_hitl.domain.policy.principal import LOCAL
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.instants import in_words
from mcp_hitl.domain.values.text import visible
from mcp_hitl.present.explanation import Ending, Explanation, people_of


def summary(rulebook: Rulebook) -> str:
    """Return a summary of the configuration: each kind, who decides it, and what its rules do."""
    count = "1 kind" if len(rulebook.kinds) == 1 else f"{len(rulebook.kinds)} kinds"
    lines = [f"{count}, profile {rulebook.profile.value}."]
    for name in sorted(rulebook.kinds):
        kind = rulebook.kinds[name]
        policy = kind.policy.with_members(rulebook.people)
        lines += ["", f"{visible(name)}: {_stages(policy)}"]
        lines.append(f"    assurance {policy.assurance.value}, expires after {in_words(kind.timeout, exactly=True)}")
        lines += [f"    {visible(rule.name)}: {_rule(rule, policy, rulebook.people)}" for rule in kind.rules]
    return "\n".join(lines)


def explanation(explained: Explanation) -> str:
    """Return the answer of `policy explain` for a person."""
    kind, judgement = explained.kind, explained.judgement
    if judgement is None:
        return f"Refused: {visible(explained.refusal or '')}\nNothing is stored, and nobody is asked."
    policy, rule = judgement.policy, judgement.rule
    lines = [_headline(explained), "", f"Title     {explained.title}", f"Digest    {explained.digest}", "", "Why"]
    lines += [
        f"    {visible(each.name)} " + ("applies" if each.because is None else f"does not: {visible(each.because)}")
        for each in explained.considered
    ]
    if rule is None:
        lines.append("    No rule applies: the kind's own stages." if kind.rules else "    This kind has no rules.")
    if explained.ending is Ending.REJECTED:
        return "\n".join([*lines, _cooldown(kind)])
    if rule is not None and rule.max_per_day is not None:
        lines.append(f"    After {rule.max_per_day} approvals for one requester in 24 hours, people are asked:")
    if explained.ending is Ending.HELD or (rule is not None and rule.max_per_day is not None):
        lines += ["", "Who decides", *_who(policy), "", "Time", *_time(kind, policy)]
    return "\n".join([*lines, "", "Afterwards", *_afterwards(kind, policy)])


def _headline(explained: Explanation) -> str:
    judgement = explained.judgement
    name = judgement and judgement.rule and visible(judgement.rule.name)
    match explained.ending:
        case Ending.APPROVED:
            return f"Approved at once by {name}, and recorded as decided by the policy."
        case Ending.REJECTED:
            return f"Rejected at once by {name}, and recorded as decided by the policy."
        case _:
            return "Held: people decide" + (f", as {name} says." if name else ".")


def _who(policy: Policy) -> list[str]:
    lines: list[str] = []
    for number, stage in enumerate(policy.stages, start=1):
        lines.append(f"    Stage {number}: {_stage(policy, stage)}")
        lines += [
            f"        after {in_words(step.after, exactly=True)} of waiting also {_names(policy, step.to)}"
            for step in stage.escalate
        ]
    lines.append(f"    Minimum assurance: {policy.assurance.value}" + ("; --yes counts" if policy.unattended else ""))
    lines.append(f"    Rejections needed: {policy.rejections}")
    lines.append(f"    The requester {'may not' if policy.four_eyes else 'may'} decide (four_eyes)")
    lines.append(f"    A person who edited it {'may' if policy.editor_may_approve else 'may not'} approve the edit")
    if policy.one_stage_each and len(policy.stages) > 1:
        lines.append("    Each person counts in one stage only")
    return lines


def _time(kind: Kind, policy: Policy) -> list[str]:
    lines = [f"    Expires after {in_words(kind.timeout, exactly=True)}; expiry never approves"]
    if policy.remind_after:
        spans = ", ".join(in_words(span, exactly=True) for span in policy.remind_after)
        lines.append(f"    Reminders after {spans} in each stage")
    return [*lines, _cooldown(kind)]


def _cooldown(kind: Kind) -> str:
    if kind.cooldown is None:
        return "    If rejected, it can be requested again immediately"
    return f"    If rejected, it stays rejected for {in_words(kind.cooldown, exactly=True)}"


def _afterwards(kind: Kind, policy: Policy) -> list[str]:
    for_how_long = "at any time" if policy.valid_for is None else f"within {in_words(policy.valid_for, exactly=True)}"
    if kind.flow is not None:
        return [f"    The flow {visible(kind.flow)} carries it out, {for_how_long}"]
    if kind.redeemable:
        return [f"    The requester carries it out, once, {for_how_long}"]
    return ["    Nothing else happens"]


def _rule(rule: Rule, policy: Policy, people: People) -> str:
    if rule.decide is Verdict.REJECT:
        return "rejected at once"
    if rule.decide is Verdict.APPROVE:
        return "approved at once" + (f", at most {rule.max_per_day} a day" if rule.max_per_day else "")
    return _stages(replace(policy, stages=rule.stages).with_members(people))


def _stages(policy: Policy) -> str:
    return "; then ".join(_stage(policy, stage) for stage in policy.stages)


def _stage(policy: Policy, stage: Stage) -> str:
    names = _names(policy, stage.approvers)
    return names if stage.approvers == (LOCAL,) else f"{stage.quorum} of {names}"


def _names(policy: Policy, entries: tuple[str, ...]) -> str:
    named: list[str] = []
    for entry in entries:
        if entry == LOCAL:
            named.append("anyone at the requester's machine")
        elif entry.startswith(GROUP):
            named.append(f"{visible(entry.removeprefix(GROUP))} ({visible(', '.join(people_of(policy, [entry])))})")
        else:
            named.append(visible(entry))
    return ", ".join(named)
