"""A team, its kinds and its policies, and stories told in short sentences for the desk's tests."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from desk_samples import said, say

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.quorum import quorum_of
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.kinds import ACTION, Kind
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Assurance, Escalation, Policy, Profile, Stage, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import HitlError

PEOPLE = People(
    groups={
        "finance": frozenset({"ana", "bo", "eve"}),
        "managers": frozenset({"cy", "ana"}),
        "board": frozenset({"di"}),
    },
    aliases={"ana.b": "ana"},
)
FINANCE, MANAGERS = Stage(("group:finance",)), Stage(("group:managers",))
PAIR = Policy(stages=(Stage(("group:finance",), quorum=2),))
LADDER = Policy(stages=(FINANCE, MANAGERS))


def person(account: str) -> Principal:
    """Whoever acts under this account."""
    return Principal(account, Established.PROGRAM)


AGENT = person("agent")


def a_kind(policy: Policy, **changes: Any) -> Kind:
    """A kind `thing` for any object, under `policy`."""
    return replace(ACTION, name="thing", policy=policy, **changes)


def a_rulebook(policy: Policy, people: People = PEOPLE, **changes: Any) -> Rulebook:
    """A team's rulebook whose one kind is `thing`."""
    return Rulebook(kinds={"thing": a_kind(policy, **changes)}, people=people, profile=Profile.TEAM)


_HOW = {
    "unattended": Assurance.NONE,
    "at the machine": Assurance.LOCAL,
    "signed in": Assurance.SESSION,
    "signed in afresh": Assurance.STEP_UP,
}


async def told(desk: Desk, approval: Approval, sentence: str) -> str:
    """Do what a sentence says to an approval, and say what came of it.

    Sentences: `ana approves [signed in]`, `bo rejects [unattended]`, `ana edits it to 7`, `agent cancels`,
    `cy lifts the cooldown [signed in]`. What came of it: a status, `stage 1, 1 of 2[, 1 against]`, or an error's
    `code: message`.
    """
    name, verb, rest = (*sentence.split(" ", 2), "")[:3]
    who, now = person(name), await desk.approvals.get(AGENT, approval.id)
    try:
        match verb:
            case "approves" | "rejects":
                verdict = Verdict.APPROVE if verb == "approves" else Verdict.REJECT
                now = await say(desk, said(who, now, verdict, assurance=_HOW[rest or "at the machine"]))
            case "edits":
                payload: JsonObject = {"n": int(rest.removeprefix("it to "))}
                now = await edited(desk, who, now, payload)
            case "cancels":
                now = await desk.approvals.cancel(who, now.id)
            case _:
                how = _HOW[rest.removeprefix("the cooldown").strip() or "at the machine"]
                now = await desk.decisions.lift_cooldown(who, now.id, assurance=how)
    except HitlError as error:
        return f"{error.code}: {error}"
    if now.status is not Status.PENDING:
        return now.status.value
    quorum = quorum_of(now, now.decisions_in_force)
    against = f", {quorum.rejected} against" if quorum.rejected else ""
    return f"stage {quorum.stage}, {quorum.approved} of {quorum.needed}{against}"


async def edited(desk: Desk, who: Principal, shown: Approval, payload: JsonObject, **changes: Any) -> Seen:
    """Edit what was shown."""
    words: dict[str, Any] = {"revision": shown.revision, "digest": shown.digest, "assurance": Assurance.LOCAL} | changes
    seen = Shown(shown.id, words.pop("revision"), words.pop("digest"))
    return await desk.approvals.edit(who, seen, payload, **words)


def after(hours: float, *to: str) -> Escalation:
    """A step of an escalation ladder."""
    return Escalation(timedelta(hours=hours), to)
