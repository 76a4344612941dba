"""The events of the log: what an entry holds of each, and what is read from it."""

from typing import Any

import pytest
from samples import ID, START

from mcp_hitl.domain.approvals.approval import Outcome, OutcomeState, Status
from mcp_hitl.domain.evidence import events
from mcp_hitl.domain.evidence.chain import Entry, content_digest
from mcp_hitl.domain.evidence.digests import Rules, Wording
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.evidence.fields import Incomplete
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.canonical import JsonObject, canonical

RULES = Rules(policy="sha256:p", expires_at="2026-11-29T12:35:13.120Z")
WORDING = Wording(title="sha256:t", claim=None, form=None)
GOVERNED = {"policy": "sha256:p", "expires_at": "2026-11-29T12:35:13.120Z", "title": "sha256:t"}

WRITTEN: list[tuple[events.AuditEvent, JsonObject]] = [
    (
        events.Opened(kind="expense", payload="sha256:a", rule="small", rules=RULES, wording=WORDING),
        {"kind": "expense", "payload": "sha256:a", "rule": "small", **GOVERNED},
    ),
    (events.AskedAgain(), {}),
    (
        events.Decided(verdict=Verdict.APPROVE, stage=1, digest="sha256:a", answer="sha256:b", looked_ms=0),
        {"verdict": "approve", "stage": 1, "digest": "sha256:a", "answer": "sha256:b", "looked_ms": 0},
    ),
    (
        events.Decided(verdict=Verdict.REJECT, stage=0, digest="sha256:a", approver="policy:small", rule="small"),
        {"verdict": "reject", "stage": 0, "digest": "sha256:a", "approver": "policy:small", "rule": "small"},
    ),
    (
        events.Edited(
            before="sha256:a",
            payload="sha256:b",
            fields=(),
            others=2,
            comment="sha256:c",
            rule=None,
            rules=RULES,
            wording=WORDING,
        ),
        {"before": "sha256:a", "payload": "sha256:b", "fields": [], "others": 2, "comment": "sha256:c", **GOVERNED},
    ),
    (events.Approved(answer="sha256:a"), {"answer": "sha256:a"}),
    (
        events.Rejected(cooldown_until="2026-11-23T12:35:13.120Z"),
        {"cooldown_until": "2026-11-23T12:35:13.120Z"},
    ),
    (events.Expired(), {}),
    (events.Cancelled(reason="sha256:r"), {"reason": "sha256:r"}),
    (
        events.Reminded(due="2026-11-23T12:35:13.120Z", number=1),
        {"due": "2026-11-23T12:35:13.120Z", "number": 1},
    ),
    (
        events.Escalated(due="2026-11-23T12:35:13.120Z", to=("ana", "bo")),
        {"due": "2026-11-23T12:35:13.120Z", "to": ["ana", "bo"]},
    ),
    (events.CooldownLifted(until="2026-11-23T12:35:13.120Z"), {"until": "2026-11-23T12:35:13.120Z"}),
    (events.Progressed(report="sha256:a"), {"report": "sha256:a"}),
    (events.Started(digest="sha256:a"), {"digest": "sha256:a"}),
    (events.Started(), {}),
    (events.Succeeded(result="sha256:a"), {"result": "sha256:a"}),
    (events.Failed(error="sha256:a"), {"error": "sha256:a"}),
    (events.Unknown(error="sha256:a"), {"error": "sha256:a"}),
    (events.Paused(kind="expense"), {"kind": "expense"}),
    (events.Resumed(kind=None), {}),
    (events.Erased(), {}),
    (events.ClockReset(was="2026-11-23T12:35:13.120Z"), {"was": "2026-11-23T12:35:13.120Z"}),
    (events.ClockSetBack(was="2026-11-23T12:35:13.120Z"), {"was": "2026-11-23T12:35:13.120Z"}),
    (events.PolicyChanged(policy="sha256:a"), {"policy": "sha256:a"}),
    (events.PolicyChanged(policy="sha256:b", was="sha256:a"), {"policy": "sha256:b", "was": "sha256:a"}),
    (events.Restored(known=9, head="sha256:a"), {"known": 9, "head": "sha256:a"}),
    (events.Restored(), {}),
    (events.RestoreConfirmed(), {}),
    (events.SignedIn(), {}),
    (events.SignedOut(person="ana"), {"person": "ana"}),
    (events.SignedOut(links=3), {"links": 3}),
]


def entry(event: Event, data: Any) -> Entry:
    return Entry(approval=ID, event=event, revision=1, actor="os:ana", at=START, data=data)


def test_the_table_has_every_event() -> None:
    assert {event.event for event, _ in WRITTEN} == set(Event)


@pytest.mark.parametrize(("event", "data"), WRITTEN, ids=lambda one: getattr(one, "event", None))
def test_an_event_is_written_like_this_and_read_back(event: events.AuditEvent, data: JsonObject) -> None:
    assert canonical(event.data(), what="data") == canonical(data, what="data")
    assert events.read(entry(event.event, event.data())) == event


def test_what_an_entry_holds_beside_the_fields_of_its_event_does_not_matter() -> None:
    assert events.read(entry(Event.STARTED, {"later": 1})) == events.Started()


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (Event.OPENED, {"kind": "expense"}),
        (Event.OPENED, {"kind": "expense", "payload": "sha256:a", "policy": 5}),
        (Event.EDITED, {"before": "sha256:a", "payload": "sha256:b", "fields": "amount"}),
        (Event.ESCALATED, {"due": "2026-11-23T12:35:13.120Z", "to": ["ana", 5]}),
        (Event.DECIDED, {"stage": 1}),
        (Event.DECIDED, {"stage": 1, "verdict": "perhaps"}),
        (Event.DECIDED, {"stage": "1", "verdict": "approve"}),
        (Event.APPROVED, {"answer": ["sha256:a"]}),
        (Event.PAUSED, ["expense"]),
        (Event.SIGNED_IN, None),
    ],
)
def test_an_entry_without_what_its_event_needs_is_not_read(event: Event, data: Any) -> None:
    with pytest.raises(Incomplete):
        events.read(entry(event, data))


def test_every_status_but_pending_has_its_ending() -> None:
    assert set(events.ENDINGS) == set(Status) - {Status.PENDING}
    assert {status.value for status in events.ENDINGS} == {event.value for event in events.RESOLVING}


@pytest.mark.parametrize("state", [OutcomeState.SUCCEEDED, OutcomeState.FAILED, OutcomeState.UNKNOWN])
def test_an_outcome_is_recorded_with_the_digests_of_what_came_of_it(state: OutcomeState) -> None:
    event = events.result_of(Outcome(state, {"paid": True}, "but late"))
    assert event.event.value == event.state.value == state.value
    assert event.data() == {"result": content_digest({"paid": True}), "error": content_digest("but late")}
