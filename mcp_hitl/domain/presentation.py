"""How an approval is told: one JSON shape for programs, short text for models, a full view for people."""

from datetime import datetime, timedelta

from mcp_hitl.domain.approval import Approval, Decision, Status
from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.instants import in_words, rfc3339
from mcp_hitl.domain.kinds import MAX_TITLE
from mcp_hitl.domain.policy import Verdict
from mcp_hitl.domain.resolution import quorum_of
from mcp_hitl.domain.text import indented, json_lines, one_line, persons_words, visible


def shape(approval: Approval, now: datetime, *, inbox: str) -> JsonObject:
    """The Approval that tools, the terminal's `--json` and resources return.

    `inbox` says in words where a person decides, for the sentence in `next`.
    """
    quorum = quorum_of(approval, approval.decisions_in_force)
    return {
        "id": approval.id,
        "kind": approval.kind,
        "title": approval.title,
        "status": approval.seen_at(now).value,
        "payload": approval.payload,
        "digest": approval.digest,
        "revision": approval.revision,
        "requested_by": approval.requester,
        "requested_at": rfc3339(approval.requested_at),
        "expires_at": rfc3339(approval.expires_at),
        "stage": quorum.stage,
        "quorum": {"needed": quorum.needed, "approved": quorum.approved, "rejected": quorum.rejected},
        "decisions": [_decision(decision) for decision in approval.decisions],
        "answer": approval.answer,
        "progress": [],
        "outcome": {
            "state": approval.outcome.state.value,
            "result": approval.outcome.result,
            "error": approval.outcome.error,
        },
        "asked": approval.asked,
        "url": None,
        "next": next_step(approval, now, inbox=inbox),
    }


def next_step(approval: Approval, now: datetime, *, inbox: str) -> str:
    """One sentence: what the caller does now. It never hands out a command that decides."""
    match approval.seen_at(now):
        case Status.PENDING:
            return (
                "A person has to decide; this takes as long as they need. Tell your person that it is waiting "
                f"({inbox}), then call wait-for-approval with this id, as often as it takes."
            )
        case Status.APPROVED if approval.form is not None:
            return "Answered. The person's answer is in `answer`; go on with it."
        case Status.APPROVED:
            return "Approved. Do exactly what `payload` says, and nothing else."
        case Status.REJECTED:
            again = ""
            if approval.cooldown_until is not None and now < approval.cooldown_until:
                again = f" Asking again gives this same answer until {rfc3339(approval.cooldown_until)}."
            return f"Rejected. Do not take this action; tell your person what the reason was.{again}"
        case Status.EXPIRED:
            return "Nobody decided in time, so this is not approved. Ask again if it is still wanted."
        case Status.CANCELLED:
            return "Cancelled, so this is not approved. Do not take this action."


def summary(approval: Approval, now: datetime, *, inbox: str) -> str:
    """The same facts as `shape` in a few lines that a model reads; a person's words are marked as such."""
    quorum = quorum_of(approval, approval.decisions_in_force)
    lines = [f"{approval.id} is {approval.seen_at(now).value} (kind {approval.kind}): {approval.title}"]
    if approval.seen_at(now) is Status.PENDING:
        left = in_words(approval.expires_at - now)
        lines.append(f"{quorum.approved} of {quorum.needed} approvals in stage {quorum.stage}; expires in {left}.")
    lines += [_said(decision) for decision in approval.decisions_in_force]
    if approval.answer is not None:
        lines += [f"Answer, {name}: {persons_words(str(value))}" for name, value in approval.answer.items()]
    if approval.reason:
        lines.append(f"Reason given: {persons_words(approval.reason)}")
    if approval.asked > 1:
        lines.append(f"Asked {approval.asked} times.")
    lines.append(next_step(approval, now, inbox=inbox))
    return "\n".join(lines)


def review(approval: Approval, now: datetime) -> str:
    """Everything that an approver must see before deciding, the whole payload included.

    Lines are indented, so that a client which reads Markdown shows them as they are; what deceives the eye is escaped.
    """
    open_still = approval.seen_at(now) is Status.PENDING
    payload = json_lines(approval.payload)
    count = payload.count("\n") + 1
    facts = {
        "Kind": approval.kind,
        "Title": None if approval.claim and approval.title == one_line(approval.claim, MAX_TITLE) else approval.title,
        "Asked by": f"{visible(approval.requester)}, {_ago(now - approval.requested_at)}{_times(approval.asked)}",
        "Expires": f"in {in_words(approval.expires_at - now)} ({rfc3339(approval.expires_at)})" if open_still else None,
        "Approval": f"{approval.id}, revision {approval.revision}",
        "Digest": approval.digest,
    }
    head = "\n".join(f"{name + ':':<10} {value}" for name, value in facts.items() if value is not None)
    size = f" ({count:,} lines, {len(payload):,} characters, all shown)" if count > 25 else ""
    parts = [indented(head), f"The action, exactly as it would be taken{size}:", indented(payload)]
    if approval.claim:
        parts += [
            "The agent's own description of it, which may be wrong:",
            indented(one_line(approval.claim, 500)),
        ]
    return "\n\n".join(parts)


def verdict_line(approval: Approval, now: datetime) -> str:
    """How an approval that is no longer pending ended, by whom and when: for whoever came second."""
    status = approval.seen_at(now)
    ended = rfc3339(approval.resolved_at or approval.expires_at)
    final = [d for d in approval.decisions_in_force if (d.verdict is Verdict.APPROVE) == (status is Status.APPROVED)]
    by = f" by {visible(final[-1].approver)}" if final and status in {Status.APPROVED, Status.REJECTED} else ""
    return f"{approval.id} was {status.value}{by} at {ended}"


def _decision(decision: Decision) -> JsonObject:
    return {
        "approver": decision.approver,
        "verdict": decision.verdict.value,
        "comment": decision.comment,
        "assurance": decision.assurance.value,
        "at": rfc3339(decision.at),
    }


def _said(decision: Decision) -> str:
    verb = "approved" if decision.verdict is Verdict.APPROVE else "rejected"
    comment = f": {persons_words(decision.comment)}" if decision.comment else ""
    return f"{visible(decision.approver)} {verb} it (assurance {decision.assurance.value}){comment}"


def _ago(span: timedelta) -> str:
    return f"{in_words(span)} ago"


def _times(asked: int) -> str:
    return f", {asked} times" if asked > 1 else ""
