"""Compares the stored approvals with the log."""

from collections.abc import Mapping
from datetime import timedelta

from mcp_hitl.domain.approvals.approval import Approval, Decision, Status
from mcp_hitl.domain.approvals.quorum import resolve
from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.evidence.digests import report_of, rules_of, wording_of
from mcp_hitl.domain.evidence.ledger import Broken
from mcp_hitl.domain.evidence.told import Told
from mcp_hitl.domain.values.canonical import digest_of
from mcp_hitl.domain.values.instants import rfc3339


def _decision(decision: Decision) -> tuple[object, ...]:
    """Return the facts of a stored decision in the form of the ledger's."""
    return (
        decision.revision,
        decision.stage,
        decision.approver,
        decision.established,
        decision.verdict,
        decision.assurance,
        decision.at,
        None if decision.looked is None else decision.looked // timedelta(milliseconds=1),
        content_digest(decision.comment),
    )


def _answers_same_form(decision: Decision, nonce: str | None) -> bool:
    """Return True if a decision answers the form or page whose nonce was logged, as far as that was logged."""
    return nonce is None or content_digest(decision.nonce) == nonce


def check_stored(told: Told, approval: Approval, contents: Mapping[str, str]) -> None:
    """Compare a stored approval with the log's record of it.

    Raises:
        Broken: they differ.
    """
    if approval.status is not told.status:
        raise Broken(f"{approval.id} is stored as {approval.status.value}; the log says {told.status.value}")
    opened = (approval.requester, approval.requested_as, approval.kind, approval.requested_at, approval.asked_digest)
    if opened != told.opened:
        raise Broken(f"{approval.id} has another requester, kind, beginning or first payload than the log says")
    if (approval.definition, approval.code) != told.definition:
        raise Broken(f"the definition of the kind of {approval.id} is not the one in the log")
    if approval.resolved_at != told.ended_at:
        raise Broken(f"{approval.id} is stored as ended at another time than the log says")
    if (approval.digest, approval.revision) != (told.digest, told.revision):
        raise Broken(f"{approval.id} has another digest or revision than the log says")
    if approval.outcome.state is not told.outcome:
        raise Broken(
            f"the outcome of {approval.id} is {approval.outcome.state.value}; the log says {told.outcome.value}"
        )
    _check_rules(told, approval)
    for digest, text in contents.items():
        if digest_of(text.encode()) != digest:
            raise Broken(f"a content of {approval.id} does not match its digest {digest}")
    if approval.erased_at != told.erased_at:
        raise Broken(f"{approval.id} is stored as erased at another time than the log says")
    erased = told.erased_at is not None
    logged = [(*decision[:-1], None) if erased else decision for decision in told.decisions]
    same = [_decision(decision) for decision in approval.decisions] == logged
    if not same or not all(map(_answers_same_form, approval.decisions, told.nonces)):
        raise Broken(f"the decisions on {approval.id} are not those in the log")
    if erased:
        _check_erased(approval, contents)
    else:
        _check_contents(told, approval)


def _check_rules(told: Told, approval: Approval) -> None:
    """Compare the stored rules of an approval: someone who changes them in the file decides without a decision."""
    if approval.rule != told.rule:
        raise Broken(f"the rule that applied to {approval.id} is not the one in the log")
    if rules_of(approval) != told.rules:
        raise Broken(f"the policy or the deadline of {approval.id} is not the one in the log")
    if (approval.cooldown_until and rfc3339(approval.cooldown_until)) != told.cooldown_until:
        raise Broken(f"the cooldown of {approval.id} is not the one in the log")
    if approval.asked != told.asked:
        raise Broken(
            f"{approval.id} was requested {told.asked} times by the log, but {approval.asked} times by its stored count"
        )
    if not set(approval.escalated) <= told.escalated:
        raise Broken(f"{approval.id} was escalated to somebody who is not in the log")


def _check_erased(approval: Approval, contents: Mapping[str, str]) -> None:
    left = (approval.payload, approval.answer, approval.reason, approval.outcome.result, approval.outcome.error)
    if contents or any(content is not None for content in left) or approval.progress:
        raise Broken(f"{approval.id} was erased, but has contents again")


def _check_contents(told: Told, approval: Approval) -> None:
    if wording_of(approval) != told.wording:
        raise Broken(f"the title, the claim or the form of {approval.id} is not the one in the log")
    if [report_of(one) for one in approval.progress] != told.progress:
        raise Broken(f"the progress of {approval.id} is not the one in the log")
    if content_digest(approval.payload) != approval.digest:
        raise Broken(f"the payload of {approval.id} does not match its digest")
    if content_digest(approval.answer) != told.answer or content_digest(approval.reason) != told.reason:
        raise Broken(f"the answer or the reason of {approval.id} does not match its digest")
    outcome = approval.outcome
    if (content_digest(outcome.result), content_digest(outcome.error)) != (told.result, told.error):
        raise Broken(f"the result or error of {approval.id} does not match its digest")
    edits = [
        (
            edit.revision,
            edit.editor,
            edit.established,
            content_digest(edit.before),
            content_digest(edit.after),
            content_digest(edit.comment),
            edit.at,
        )
        for edit in approval.edits
    ]
    if edits != told.edits:
        raise Broken(f"the edits of {approval.id} are not those in the log")
    decided = approval.resolved_at if approval.status in {Status.APPROVED, Status.REJECTED} else None
    if decided and resolve(approval, approval.decisions_in_force, decided) is not approval.status:
        raise Broken(f"{approval.id} is {approval.status.value}, but its decisions do not add up to that")
