"""Opening an approval, or joining the one that was asked for already."""

from dataclasses import dataclass
from datetime import datetime

from mcp_hitl.domain.approval import Approval, Status
from mcp_hitl.domain.audit import Entry, Event, by
from mcp_hitl.domain.canonical import JsonObject, digest_of, read_back
from mcp_hitl.domain.errors import Conflict
from mcp_hitl.domain.kinds import Kind
from mcp_hitl.domain.principal import Principal
from mcp_hitl.store.protocol import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a requester asks for, checked and ready to be stored.

    `payload` is the kind's canonical form of it; `form` keeps the order of its fields, which that form has not.
    """

    requester: Principal
    kind: Kind
    payload: bytes
    form: JsonObject | None
    claim: str | None
    dedup_key: str | None
    id: str
    """The id that the approval gets if it is new."""


def open_or_join(tx: Transaction, request: Request, now: datetime) -> Approval:
    """Return the approval that this request belongs to, a new one where there is none.

    Raises:
        Conflict: the key belongs to another payload.
    """
    asked_before = _earlier(tx, request, digest_of(request.payload), now)
    if asked_before is not None:
        tx.count_ask(asked_before.id)
        tx.append(_entry(asked_before, Event.ASKED_AGAIN, request.requester, now))
        return tx.get(asked_before.id) or asked_before
    approval = _new(request, now)
    tx.insert(approval)
    tx.append(_entry(approval, Event.OPENED, request.requester, now, kind=approval.kind, payload=approval.digest))
    return approval


def _earlier(tx: Transaction, request: Request, digest: str, now: datetime) -> Approval | None:
    requester, kind = request.requester.id, request.kind
    if request.dedup_key is not None:
        keyed = tx.keyed(requester, kind.name, request.dedup_key)
        if keyed is not None:
            if keyed.digest != digest:
                raise Conflict(f"This dedup_key belongs to {keyed.id}, whose payload is another. Use a new key.")
            return keyed
    elif kind.joins_equal:
        pending = tx.latest_equal(requester, kind.name, digest, Status.PENDING)
        if pending is not None and pending.seen_at(now) is Status.PENDING:
            return pending
    if kind.cooldown is not None:
        rejected = tx.latest_equal(requester, kind.name, digest, Status.REJECTED)
        if rejected is not None and rejected.cooldown_until is not None and now < rejected.cooldown_until:
            return rejected
    return None


def _new(request: Request, now: datetime) -> Approval:
    payload: JsonObject = read_back(request.payload)
    kind = request.kind
    return Approval(
        id=request.id,
        kind=kind.name,
        title=kind.title_of(payload, request.claim),
        claim=request.claim,
        status=Status.PENDING,
        payload=payload,
        digest=digest_of(request.payload),
        revision=1,
        requester=request.requester.id,
        requested_at=now,
        expires_at=now + kind.timeout,
        policy=kind.policy,
        form=request.form,
        dedup_key=request.dedup_key,
    )


def _entry(approval: Approval, event: Event, who: Principal, now: datetime, **data: str) -> Entry:
    return Entry(approval=approval.id, event=event, revision=approval.revision, at=now, data=data, **by(who))
