"""Edit and approve: a new revision, on which nothing counts that was said before, and the policy asked again."""

from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest
from desk_samples import ANA as AT_THE_MACHINE
from desk_samples import Clock, hour, said, say, views
from team_samples import AGENT, FINANCE, MANAGERS, PAIR, a_rulebook, edited, person, told

from mcp_hitl.desk import Desk
from mcp_hitl.desk.transactions import edit
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance, Policy, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK, Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.canonical import canonical, digest_of
from mcp_hitl.domain.values.errors import AlreadyResolved, Conflict, HitlError, Invalid, NotAllowed, TooMany
from mcp_hitl.domain.values.instants import rfc3339

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]
ANA, BO = person("ana"), person("bo")
BOOK = a_rulebook(PAIR, title="Take {n}")


async def test_t37_a_request_is_edited_so_often_and_no_more(under: Under, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "MOST_EDITS", 3)
    desk = under(BOOK)
    now = await desk.approvals.submit(AGENT, "thing", {"n": 0})
    for number in range(1, 4):
        now = await edited(desk, ANA, now, {"n": number})
    with pytest.raises(TooMany, match=r"was edited 3 times\. Reject it, and let it be asked for anew"):
        await edited(desk, ANA, now, {"n": 4})
    assert (await desk.approvals.get(ANA, now.id)).edits == now.edits


async def test_an_edit_keeps_the_editors_order_and_an_order_alone_is_no_edit(desk: Desk) -> None:
    asked = await desk.approvals.submit(AGENT, "action", {"to": "ana", "body": "Hi"})
    now = await edited(desk, AT_THE_MACHINE, asked, {"subject": "Hi", "to": "bo", "body": "Hi"})
    assert list((await desk.approvals.get(AGENT, asked.id)).payload) == ["subject", "to", "body"]
    assert list(now.edits[0].before) == ["to", "body"]
    with pytest.raises(Invalid, match="Nothing changed"):
        await edited(desk, AT_THE_MACHINE, now, {"body": "Hi", "to": "bo", "subject": "Hi"})


async def test_an_edit_makes_a_new_revision_with_its_own_digest_and_title(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1, "to": "bank"})
    clock.advance(hour())
    now = await edited(desk, ANA, asked, {"n": 2, "to": "bank"}, comment="Half of it")
    assert (now.revision, now.payload, now.title) == (2, {"n": 2, "to": "bank"}, "Take 2")
    assert now.digest == digest_of(canonical(now.payload, what="payload")) != asked.digest
    assert (now.id, now.requester, now.requested_at, now.expires_at) == (
        asked.id,
        asked.requester,
        asked.requested_at,
        asked.expires_at,
    )
    (edit,) = now.edits
    assert (edit.revision, edit.editor, edit.comment, edit.at) == (2, "ana", "Half of it", clock())
    assert (edit.before, edit.after) == (asked.payload, now.payload)
    assert now == await desk.approvals.get(AGENT, asked.id)


async def test_an_edit_leaves_the_earlier_decisions_behind(under: Under) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await say(desk, said(BO, asked))
    now = await edited(desk, ANA, asked, {"n": 2})
    assert now.decisions_in_force == ()
    assert [(decision.approver, decision.revision) for decision in now.decisions] == [("bo", 1)]
    assert views(desk).shape(now)["quorum"] == {"needed": 2, "approved": 0, "rejected": 0}
    await say(desk, said(BO, now))
    assert (await say(desk, said(person("eve"), now))).status is Status.APPROVED


async def test_the_difference_is_in_the_audit_by_digest_and_shown_to_the_requester(under: Under) -> None:
    schema = {"properties": {"n": {"type": "integer"}, "note": {"type": "string"}, "same": {}, "unused": {}}}
    desk = under(a_rulebook(PAIR, schema=schema))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1, "note": "CANARY", "same": [1]})
    now = await edited(desk, ANA, asked, {"n": 2, "same": [1], "more": {"x": 1}}, comment="CANARY too")
    entry = (await desk.approvals.trail(AGENT, asked.id)).entries[-1].entry
    assert (entry.event, entry.actor, entry.revision, entry.assurance) == (Event.EDITED, "ana", 2, Assurance.LOCAL)
    assert entry.data == {
        "before": asked.digest,
        "payload": now.digest,
        "fields": ["n", "note"],
        "others": 1,
        "comment": content_digest("CANARY too"),
        "policy": content_digest(now.policy.as_json()),
        "expires_at": rfc3339(now.expires_at),
        "title": content_digest(now.title),
    }
    (told_edit,) = views(desk).shape(now)["edits"]
    assert (told_edit["revision"], told_edit["editor"], told_edit["comment"]) == (2, "ana", "CANARY too")
    assert told_edit["changes"] == [
        {"field": "n", "before": 1, "after": 2},
        {"field": "note", "before": "CANARY", "after": None},
        {"field": "more", "before": None, "after": {"x": 1}},
    ]
    told = [line.strip() for line in views(desk).summary(now).split("\n")]
    assert "|".join(told).count('n|before: 1|after:  2|note|before: "CANARY"|after:  (nothing)|more|') == 1


async def test_t36_the_keys_of_what_the_schema_does_not_name_are_in_no_entry(under: Under) -> None:
    schema = {"properties": {"patients": {"type": "object", "writeOnly": True}, "open": {"type": "object"}}}
    desk = under(a_rulebook(PAIR, schema=schema))
    people = {"CANARY jane": 1}
    asked = await desk.approvals.submit(AGENT, "thing", {"patients": people, "open": people, "CANARY too": 1})
    await edited(desk, ANA, asked, {"patients": {"CANARY jane": 2}, "open": {}, "CANARY two": 1})
    trail = (await desk.approvals.trail(AGENT, asked.id)).entries
    assert "CANARY" not in str([recorded.as_json() for recorded in trail])
    assert trail[-1].entry.data["fields"] == ["open", "patients"]
    assert trail[-1].entry.data["others"] == 2


async def test_a_field_that_only_changes_its_type_is_told(under: Under) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1, "yes": 1})
    now = await edited(desk, ANA, asked, {"n": 1, "yes": True})
    assert views(desk).shape(now)["edits"][0]["changes"] == [{"field": "yes", "before": 1, "after": True}]


async def test_the_policy_is_asked_again_on_what_it_is_now(under: Under) -> None:
    rules = (
        Rule(name="small", when={"properties": {"n": {"maximum": 9}}, "required": ["n"]}, decide=Verdict.APPROVE),
        Rule(name="large", when={"properties": {"n": {"minimum": 100}}, "required": ["n"]}, stages=(FINANCE, MANAGERS)),
        Rule(name="odd", when={"properties": {"n": {"const": 66}}, "required": ["n"]}, decide=Verdict.REJECT),
    )
    desk = under(a_rulebook(Policy(stages=(FINANCE,)), rules=rules))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 50})

    large = await edited(desk, ANA, asked, {"n": 100})
    assert (large.status, large.rule, len(large.policy.stages)) == (Status.PENDING, "large", 2)
    assert await told(desk, large, "bo approves") == "stage 2, 0 of 1"

    middle = await edited(desk, person("cy"), await desk.approvals.get(AGENT, asked.id), {"n": 60})
    assert (middle.status, middle.rule, middle.policy.stages) == (Status.PENDING, None, (FINANCE,))

    small = await edited(desk, BO, middle, {"n": 9})
    assert (small.status, small.rule, small.revision) == (Status.APPROVED, "small", 4)
    assert [decision.approver for decision in small.decisions_in_force] == ["policy:small"]
    events = [recorded.entry.event for recorded in (await desk.approvals.trail(AGENT, asked.id)).entries]
    assert events[-3:] == [Event.EDITED, Event.DECIDED, Event.APPROVED]

    other = await edited(desk, ANA, await desk.approvals.submit(AGENT, "thing", {"n": 51}), {"n": 66})
    assert (other.status, other.cooldown_until is not None) == (Status.REJECTED, True)
    assert (await desk.evidence.verify()).wrong is None


async def test_an_edit_takes_the_policy_and_the_groups_of_today(under: Under) -> None:
    asked = await under(BOOK).approvals.submit(AGENT, "thing", {"n": 1})
    later = replace(BOOK.people, groups={**BOOK.people.groups, "finance": frozenset({"ana", "fay"})})
    desk = under(replace(a_rulebook(Policy(stages=(FINANCE,)), later)))
    assert (await told(desk, asked, "fay approves")).startswith("not_allowed")
    await edited(desk, ANA, asked, {"n": 2})
    assert await told(desk, asked, "fay approves") == "approved"


async def test_t22_whoever_may_be_its_editor_does_not_approve_what_an_edit_made_of_it(under: Under) -> None:
    desk = under(a_rulebook(Policy(editor_may_approve=False)))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    now = await edited(desk, Principal("os:ana", Established.OS_USER), asked, {"n": 2})
    with pytest.raises(NotAllowed, match="You edited"):
        await say(desk, said(LOOPBACK, now))
    assert (await say(desk, said(Principal("os:bo", Established.OS_USER), now))).status is Status.APPROVED


async def test_t07_a_decision_on_what_was_edited_since_is_refused(under: Under) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    now = await edited(desk, ANA, asked, {"n": 1_000_000})
    for stale in (
        said(BO, asked),
        said(BO, asked, Verdict.REJECT),
        said(BO, asked, revision=2),
        said(BO, asked, digest=now.digest),
    ):
        with pytest.raises(Conflict, match="was edited after this was shown"):
            await say(desk, stale)
    with pytest.raises(Conflict, match="was edited after this was shown"):
        await edited(desk, BO, asked, {"n": 3})
    assert await desk.approvals.get(AGENT, asked.id) == now
    await say(desk, said(BO, now))


async def test_t07_going_back_to_the_first_payload_does_not_bring_its_decisions_back(under: Under) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await say(desk, said(BO, asked))
    there = await edited(desk, ANA, await desk.approvals.get(AGENT, asked.id), {"n": 2})
    back = await edited(desk, ANA, there, {"n": 1})
    assert (back.digest, back.revision, back.decisions_in_force) == (asked.digest, 3, ())
    with pytest.raises(Conflict):
        await say(desk, said(person("eve"), asked))


async def test_the_same_edit_again_changes_nothing(under: Under) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    now = await edited(desk, ANA, asked, {"n": 2})
    assert await edited(desk, ANA, asked, {"n": 2}) == now
    assert len((await desk.approvals.trail(AGENT, asked.id)).entries) == 2
    with pytest.raises(Conflict):
        await edited(desk, ANA, asked, {"n": 3})


async def test_what_it_says_already_is_no_edit(under: Under) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1, "m": 2})
    with pytest.raises(Invalid, match="nothing to edit"):
        await edited(desk, ANA, asked, {"m": 2.0, "n": 1})
    assert await desk.approvals.get(AGENT, asked.id) == asked


async def test_an_edit_that_does_not_fit_its_kind_or_its_comment_changes_nothing(under: Under) -> None:
    strict = a_rulebook(PAIR, schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    desk = under(strict)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    for payload, comment in (({"n": "2"}, None), ({"n": float("nan")}, None), ({"n": 2}, "x" * 2_001)):
        with pytest.raises(Invalid):
            await edited(desk, ANA, asked, payload, comment=comment)
    with pytest.raises(HitlError, match="no such kind"):
        await edited(under(Rulebook()), ANA, asked, {"n": 2})
    assert await desk.approvals.get(AGENT, asked.id) == asked


async def test_an_edit_needs_the_assurance_that_a_decision_needs(under: Under) -> None:
    desk = under(a_rulebook(replace(PAIR, assurance=Assurance.SESSION)))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    with pytest.raises(HitlError, match="requires the assurance session"):
        await edited(desk, ANA, asked, {"n": 2})
    assert (await edited(desk, ANA, asked, {"n": 2}, assurance=Assurance.SESSION)).revision == 2


async def test_the_deadline_stays_and_nothing_is_edited_after_it(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(hour(24 * 7) - hour(0.1))
    now = await edited(desk, ANA, asked, {"n": 2})
    assert now.expires_at == asked.expires_at
    clock.advance(hour(0.1))
    with pytest.raises(AlreadyResolved, match="was expired"):
        await edited(desk, ANA, now, {"n": 3})


async def test_two_who_edit_at_once_make_one_revision(under: Under, elsewhere: Desk) -> None:
    desk = under(BOOK)
    elsewhere.rulebook = BOOK
    for n in range(20):
        asked = await desk.approvals.submit(AGENT, "thing", {"n": n})
        codes: list[str] = []

        async def edit(by: Desk, to: int, into: list[str] = codes, shown: Approval = asked) -> None:
            try:
                await edited(by, ANA, shown, {"n": to})
                into.append("done")
            except HitlError as error:
                into.append(error.code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(edit, desk, 100)
            tasks.start_soon(edit, elsewhere, 200)
        assert sorted(codes) == ["conflict", "done"]
        assert (await desk.approvals.get(AGENT, asked.id)).revision == 2
