"""Checks the policy in force: how could somebody get an approval past the people it names?"""

from collections.abc import Callable, Iterator
from datetime import timedelta

from mcp_hitl.doctor.findings.finding import Finding, Mend, in_policy, listed, note, of_kinds, unsafe
from mcp_hitl.doctor.findings.quorum_reach import Reach
from mcp_hitl.doctor.findings.schemas import open_places, takes_anything
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.policy import Assurance, Profile, Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.instants import in_words
from mcp_hitl.domain.values.text import visible

LONG = timedelta(days=30)
"""If a request waits longer than this, the approver has forgotten what it was about."""


def policy_findings(rulebook: Rulebook, reach: Reach, *, retention: timedelta | None) -> list[Finding]:
    """Return what is unsafe about the policy; each finding names the kinds that it concerns.

    `retention` is a setting of the policy file that is not part of the rulebook.
    """
    found = [
        _unattended(rulebook),
        _shared_account(rulebook, reach),
        _four_eyes(rulebook),
        *_approving(rulebook),
        _no_cooldown(rulebook),
        _anything(rulebook),
        _long(rulebook),
        _valid_for_ever(rulebook),
        _kept(retention),
        _unwritten(rulebook),
    ]
    return [finding for finding in found if finding is not None]


def acting_kinds(rulebook: Rulebook, which: Callable[[Kind], bool]) -> list[str]:
    """Return the names of the kinds that lead to an action; a question only asks the requester's own person."""
    kinds = (rulebook.kinds[name] for name in sorted(rulebook.kinds))
    return [kind.name for kind in kinds if not kind.acts_itself and which(kind)]


def _unattended(rulebook: Rulebook) -> Finding | None:
    if not any(kind.policy.unattended for kind in rulebook.kinds.values()):
        return None
    alone = acting_kinds(rulebook, lambda kind: kind.policy.unattended and not kind.policy.four_eyes)
    worst = f" For {of_kinds(alone)}, the agent can approve its own requests this way." if alone else ""
    return unsafe(
        "unattended",
        "Programs can approve without asking anybody: unattended = true.",
        "Any program in an approver's account can decide with --yes, including an agent's shell, and `assurance` does "
        f"not stop it.{worst}",
        Mend("in the policy file, at the top", "unattended = false"),
    )


def _shared_account(rulebook: Rulebook, reach: Reach) -> Finding | None:
    kinds = acting_kinds(rulebook, lambda kind: not kind.policy.assurance.at_least(Assurance.SESSION))
    if not kinds:
        return None
    later = "" if reach.sign_in else " (nobody can sign in here yet, so nobody could decide)"
    return unsafe(
        "shared-account",
        f"For {of_kinds(kinds)} an approval by anyone using this account is enough, including an agent that runs "
        "under it.",
        "An agent with a shell can open a terminal and answer there in your name, or act as a client that fills "
        "in its own form. The record would say `local`, as it does when you answer.",
        Mend(
            f"close the forms and terminals to it{later}, though a program of this account can still record `session` "
            f"by anybody through the library, {in_policy(kinds, '').where}",
            'assurance = "session"',
        ),
        Mend(
            "or give the agent another account, let it reach this one over HTTP only, and count only decisions made "
            f"in this one, {in_policy(kinds, '').where}",
            reach.stages,
        ),
        Mend("and serve it from here", command=("serve",)),
        Mend("or accept it, where you see what the agent does", command=("doctor", "--accept", "shared-account")),
    )


def _four_eyes(rulebook: Rulebook) -> Finding | None:
    kinds = acting_kinds(rulebook, lambda kind: not kind.policy.four_eyes)
    if rulebook.profile is not Profile.TEAM or not kinds:
        return None
    return unsafe(
        "no-four-eyes",
        f"A requester of {of_kinds(kinds)} may also approve the request (four_eyes = false).",
        "One stolen account, or one agent that acts in an approver's name, can both request and approve.",
        in_policy(kinds, "four_eyes = true"),
    )


def _approving(rulebook: Rulebook) -> Iterator[Finding]:
    for name in sorted(rulebook.kinds):
        kind = rulebook.kinds[name]
        for rule in kind.rules:
            if rule.decide is Verdict.APPROVE:
                yield from _rule(kind, rule)


def _rule(kind: Kind, rule: Rule) -> Iterator[Finding]:
    where = f"in the policy file, in the rule {visible(rule.name)!r} of {kind.name}"
    if rule.max_per_day is None:
        yield unsafe(
            "rule-without-limit",
            f"The rule {visible(rule.name)!r} of {kind.name} approves without any limit.",
            "An agent can split a large request into small ones, and each is approved.",
            Mend(where, "max_per_day = 10"),
        )
    places = open_places(kind.schema, rule.when)
    if places:
        yield unsafe(
            "rule-over-open-schema",
            f"The rule {visible(rule.name)!r} of {kind.name} approves payloads with fields that the schema does not "
            f"name (in {visible(listed(places))}).",
            "An agent can add a field that the rule does not check, and the program or person that carries out the "
            "approved payload obeys it.",
            Mend(f"in the policy file, in the schema of {kind.name}, at that place", "additionalProperties = false"),
        )


def _no_cooldown(rulebook: Rulebook) -> Finding | None:
    kinds = acting_kinds(rulebook, lambda kind: not kind.cooldown)
    if not kinds:
        return None
    return unsafe(
        "no-cooldown",
        f"Rejected requests of {of_kinds(kinds)} can be made again immediately (cooldown = \"none\").",
        "An agent can ask again and again, until somebody gets tired and says yes.",
        in_policy(kinds, 'cooldown = "24 hours"'),
    )  # fmt: skip


def _anything(rulebook: Rulebook) -> Finding | None:
    kinds = acting_kinds(rulebook, lambda kind: takes_anything(kind.schema))
    if not kinds:
        return None
    return note(
        "open-schema",
        f"Any payload fits {of_kinds(kinds)}.",
        "The approver sees the whole payload, but nothing is checked, and no title can be made from its fields: the "
        "agent chooses the title. Give each recurring action a kind of its own.",
        Mend("in the policy file, for a kind of your own", _A_KIND),
    )


def _long(rulebook: Rulebook) -> Finding | None:
    kinds = acting_kinds(rulebook, lambda kind: kind.timeout > LONG)
    if not kinds:
        return None
    longest = in_words(max(rulebook.kinds[name].timeout for name in kinds), exactly=True)
    return note(
        "long-timeout",
        f"Requests of {of_kinds(kinds)} can wait very long for a decision (up to {longest}).",
        "An approval may come when nobody remembers what it was about and circumstances have changed.",
        in_policy(kinds, 'timeout = "7 days"'),
    )


def _valid_for_ever(rulebook: Rulebook) -> Finding | None:
    kinds = acting_kinds(rulebook, lambda kind: kind.policy.valid_for is None)
    if not kinds:
        return None
    return note(
        "no-validity",
        f"Approved requests of {of_kinds(kinds)} can be carried out at any later time.",
        "An agent could use an old approval after circumstances have changed.",
        in_policy(kinds, 'valid_for = "1 day"'),
    )


def _kept(retention: timedelta | None) -> Finding | None:
    if retention is not None:
        return None
    return note(
        "kept-for-ever",
        "Payloads, comments and answers are kept forever.",
        "Anyone who gets the file one day can read everything in it. The record can be verified without them.",
        Mend("in the policy file, at the top", 'retention = "365 days"'),
    )


def _unwritten(rulebook: Rulebook) -> Finding | None:
    if rulebook.written:
        return None
    return note(
        "no-policy-file",
        "There is no policy file: only the built-in kinds exist, and anyone at the machine can decide.",
        "That suits one person who watches one agent. A policy file sets people, limits and deadlines.",
        Mend("in the environment that starts mcp-hitl", "MCP_HITL_CONFIG=/path/to/policy.toml"),
    )


_A_KIND = """\
[kinds.publish]
title = "Publish {page}"
schema.properties.page.type = "string"
schema.required = ["page"]
schema.additionalProperties = false"""
