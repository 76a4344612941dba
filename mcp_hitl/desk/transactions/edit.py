"""Editing a pending approval: a new revision. Earlier decisions don't count for it, and the policy is applied again."""

from dataclasses import dataclass, replace
from datetime import datetime

from mcp_hitl.desk.transactions.asker import Asker
from mcp_hitl.desk.transactions.decide import checked_comment
from mcp_hitl.desk.transactions.end import decide_by_rule
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.desk.transactions.log_entries import begin, check_open, check_running, locked, record
from mcp_hitl.desk.transactions.rights import check_defined, check_right, check_shown
from mcp_hitl.desk.transactions.submit import hold_or_decide
from mcp_hitl.domain.approvals.approval import Approval, Edit
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.evidence.chain import SYSTEM, content_digest
from mcp_hitl.domain.evidence.digests import rules_of, wording_of
from mcp_hitl.domain.evidence.events import Edited
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.changes import named
from mcp_hitl.domain.values.errors import Conflict, Invalid, TooMany
from mcp_hitl.domain.values.payload import Payload
from mcp_hitl.store.transaction import Transaction

MOST_EDITS = 50
"""The most edits of one request by people: whoever looks at it loads all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """An editor's new payload for what they were shown; `form` is the new form."""

    editor: Principal
    shown: Shown
    payload: Payload
    assurance: Assurance
    comment: str | None
    form: JsonObject | None


def edit(
    tx: Transaction, wanted: Revision, clock: datetime, kind: Kind, rulebook: Rulebook, effects: Effects
) -> Approval:
    """Replace the payload of a pending approval. Repeating the same edit changes nothing.

    Raises:
        NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid, Paused, TooMany: nothing was changed.
    """
    approval = locked(tx, wanted.shown.approval)
    if approval.digest == wanted.payload.digest and approval.revision == wanted.shown.revision + 1:
        return approval
    now = begin(tx, clock)
    check_open(approval, now)
    check_running(tx, approval.kind)
    check_shown(approval, replace(wanted.shown, stage=None))
    check_right(approval, wanted.editor, wanted.assurance, rulebook)
    check_defined(approval, rulebook)
    if wanted.payload.digest == approval.digest:
        raise Invalid("Nothing changed: the new payload is identical, so there is nothing to edit.")
    if approval.revision > MOST_EDITS:
        raise TooMany(f"{approval.id} was edited {MOST_EDITS} times. Reject it, and let it be asked for anew.")
    comment = checked_comment(wanted.comment)
    return _revise(
        tx,
        approval,
        wanted.payload,
        kind,
        rulebook,
        now,
        wanted.editor,
        effects=effects,
        assurance=wanted.assurance,
        comment=comment,
        form=wanted.form,
    )


def complete(
    tx: Transaction,
    approval: Approval,
    payload: Payload,
    kind: Kind,
    rulebook: Rulebook,
    now: datetime,
    effects: Effects,
) -> Approval:
    """Let a flow complete its own payload before people have decided on it."""
    form = kind.form_of(payload.value)
    return _revise(tx, approval, payload, kind, rulebook, now, None, effects=effects, form=form)


def _revise(
    tx: Transaction,
    approval: Approval,
    payload: Payload,
    kind: Kind,
    rulebook: Rulebook,
    now: datetime,
    editor: Principal | None,
    *,
    effects: Effects,
    form: JsonObject | None,
    assurance: Assurance | None = None,
    comment: str | None = None,
) -> Approval:
    asker = Asker.of(tx, approval.requester, approval.requested_as, rulebook.people)
    judgement = hold_or_decide(tx, rulebook.judge(kind, payload.value), kind, asker, now)
    revised = replace(
        approval,
        payload=payload.value,
        digest=payload.digest,
        revision=approval.revision + 1,
        title=kind.title_of(payload.value, approval.claim),
        policy=judgement.policy,
        form=form,
        rule=judgement.rule and judgement.rule.name,
        stage_since=now,
        timed_to=now,
        escalated=(),
    )
    made = Edit(
        revision=revised.revision,
        editor=editor.id if editor else SYSTEM,
        comment=comment,
        before=approval.payload,
        after=payload.value,
        at=now,
        established=editor.established.value if editor else None,
    )
    if not tx.approvals.revise(revised, made):
        raise Conflict(f"{approval.id} was changed a moment ago. Look at it again.")
    fields, others = named(approval.payload, payload.value, kind.schema)
    edited = Edited(
        before=approval.digest,
        payload=payload.digest,
        fields=fields,
        others=others or None,
        comment=content_digest(comment),
        rule=revised.rule,
        rules=rules_of(revised),
        wording=wording_of(revised),
    )
    record(tx, revised, edited, now, editor, assurance=assurance)
    revised = replace(revised, edits=(*approval.edits, made))
    if judgement.rule is not None and judgement.verdict is not None:
        rule, verdict = judgement.rule.name, judgement.verdict
        return decide_by_rule(tx, revised, rule, verdict, now, effects=effects, cooldown=kind.cooldown)
    return revised
