"""Opening an approval, or joining an existing one."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mcp_hitl.desk.transactions.asker import Asker, has_asked
from mcp_hitl.desk.transactions.end import decide_by_rule
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.desk.transactions.log_entries import begin, is_stopped, record
from mcp_hitl.desk.transactions.rights import defined_otherwise
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.evidence.digests import rules_of, wording_of
from mcp_hitl.domain.evidence.events import AskedAgain, Opened
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Judgement, Rulebook
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Conflict, TooMany
from mcp_hitl.domain.values.ids import flow_id
from mcp_hitl.domain.values.payload import Payload
from mcp_hitl.store.transaction import Transaction

MOST_ASKED = 10_000
"""So often it is recorded that the same was asked for; after that it is answered only, or nobody could read its log."""
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request, checked and ready to be stored."""

    requester: Principal
    kind: Kind
    payload: Payload
    claim: str | None
    dedup_key: str | None
    """The digest of the deduplication key. It outlasts the contents, so an erased request is not opened again."""
    id: str
    """The id for the approval if it is new."""
    form: JsonObject | None
    """The form for an approver, with its fields in the order in which they were defined."""
    flow: str | None = None
    """The flow that already waits for it, if there is one."""
    timeout: timedelta | None = None


def open_or_join(tx: Transaction, request: Request, clock: datetime, rulebook: Rulebook, effects: Effects) -> Approval:
    """Return the existing approval for this request, or a new one.

    Raises:
        Conflict: the deduplication key belongs to another payload.
        TooMany: the requester has used up a quota.
    """
    now = begin(tx, clock)
    asker = _asker(tx, request, rulebook)
    _check_rate(asker, request, now)
    asked_before = _earlier(asker, request, request.payload.digest, now)
    if asked_before is not None:
        if asked_before.asked < MOST_ASKED or not has_asked(tx, request.requester, asked_before):
            tx.approvals.count_ask(asked_before.id)
            record(tx, asked_before, AskedAgain(), now, request.requester)
            return replace(asked_before, asked=asked_before.asked + 1)
        return asked_before
    _check_open(asker, request, now)
    return open_approval(tx, request, now, rulebook, effects)


def hold_or_decide(tx: Transaction, judgement: Judgement, kind: Kind, asker: Asker, now: datetime) -> Judgement:
    """Return the judgement, without its verdict if the rule has used up its daily limit or the emergency stop is on."""
    rule = judgement.rule
    if rule is None or judgement.verdict is None:
        return judgement
    used_up = rule.max_per_day is not None and (
        asker.count_ruled(kind.name, rule.name, now - _DAY, now) >= rule.max_per_day
    )
    return Judgement(None, None, judgement.policy) if used_up or is_stopped(tx, kind.name) else judgement


def open_approval(tx: Transaction, request: Request, now: datetime, rulebook: Rulebook, effects: Effects) -> Approval:
    """Open a new approval; a policy rule may decide it at once."""
    payload = request.payload.value
    kind = request.kind
    judgement = hold_or_decide(tx, rulebook.judge(kind, payload), kind, _asker(tx, request, rulebook), now)
    starts_flow = request.flow is None and kind.flow is not None
    approval = Approval(
        id=request.id,
        kind=kind.name,
        title=kind.title_of(payload, request.claim),
        claim=request.claim,
        status=Status.PENDING,
        payload=payload,
        digest=request.payload.digest,
        revision=1,
        requester=request.requester.id,
        requested_at=now,
        expires_at=now + (request.timeout or kind.timeout),
        policy=judgement.policy,
        form=request.form,
        dedup_key=request.dedup_key,
        stage_since=now,
        timed_to=now,
        flow=flow_id(request.id) if starts_flow else request.flow,
        rule=judgement.rule and judgement.rule.name,
        asked_digest=request.payload.digest,
        requested_as=request.requester.established.value,
        definition=kind.definition,
        code=kind.code if starts_flow else None,
    )
    tx.approvals.insert(approval)
    opened = Opened(
        kind=kind.name,
        payload=approval.digest,
        rule=approval.rule,
        rules=rules_of(approval),
        wording=wording_of(approval),
        definition=approval.definition,
        code=approval.code,
    )
    record(tx, approval, opened, now, request.requester)
    if starts_flow and approval.flow is not None:
        tx.flows.insert(approval.flow, kind.name, approval.id, now)
    if judgement.rule is not None and judgement.verdict is not None:
        rule, verdict = judgement.rule.name, judgement.verdict
        return decide_by_rule(tx, approval, rule, verdict, now, effects=effects, cooldown=kind.cooldown)
    return approval


def _asker(tx: Transaction, request: Request, rulebook: Rulebook) -> Asker:
    return Asker.of(tx, request.requester.id, request.requester.established, rulebook.people)


def _earlier(asker: Asker, request: Request, digest: str, now: datetime) -> Approval | None:
    kind = request.kind
    if request.dedup_key is not None:
        keyed = asker.keyed(kind.name, request.dedup_key)
        if keyed is not None:
            if digest not in (keyed.digest, keyed.asked_digest):
                raise Conflict(f"This dedup_key belongs to {keyed.id}, which has another payload. Use a new key.")
            if not _fits(keyed, kind):
                which = f"{keyed.id}, which was {defined_otherwise(keyed)}"
                raise Conflict(f"This dedup_key belongs to {which}. Use a new key.")
            return keyed
    joins = kind.joins_equal and request.dedup_key is None
    equal = asker.equal(kind.name, digest) if joins or kind.cooldown is not None else []
    for pending in equal:
        if joins and pending.seen_at(now) is Status.PENDING and _fits(pending, kind):
            return pending
    for rejected in equal:
        if kind.cooldown is not None and rejected.cooldown_until is not None and now < rejected.cooldown_until:
            return rejected
    return None


def _fits(approval: Approval, kind: Kind) -> bool:
    return approval.definition in (None, kind.definition)


def _check_rate(asker: Asker, request: Request, now: datetime) -> None:
    most = request.kind.limits.per_minute
    if most is not None and asker.count_asked(request.kind.name, now - _MINUTE, now) >= most:
        raise TooMany(f"You may make {most} requests a minute. Wait a minute, then make fewer requests.")


def _check_open(asker: Asker, request: Request, now: datetime) -> None:
    kind, size = request.kind, len(request.payload.canonical)
    most, most_bytes = kind.limits.open_per_requester, kind.limits.open_bytes
    number, held = asker.open(kind.name, now)
    if most is not None and number >= most:
        raise TooMany(f"You have {most:,} open requests of the kind {kind.name!r}. Wait until some are decided.")
    if most_bytes is not None and held + size > most_bytes:
        raise TooMany(
            f"Your open requests of the kind {kind.name!r} have {held:,} bytes, this one has {size:,}, and together "
            f"they may have {most_bytes:,}. Wait until some are decided, or ask for less."
        )
