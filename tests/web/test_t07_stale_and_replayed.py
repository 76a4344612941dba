"""T7: a page that is out of date, or whose answer comes twice, says so instead of deciding."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx2
import pytest
from itsdangerous import URLSafeSerializer
from playwright.async_api import Browser, expect
from web.attack import a_form, asked, edited, hear_nothing, program, sealed_on, standing, visitor
from web.rig import ANA, KEY, Place, person, serving

from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict

pytestmark = pytest.mark.anyio

PAIR = """
[kinds.action]
[[kinds.action.stages]]
approvers = ["local"]
quorum = 1
[[kinds.action.stages]]
approvers = ["local"]
quorum = 1
"""


async def rejected(place: Place, approval: Approval) -> None:
    await place.desk.decisions.decide(ANA, Shown.of(approval), Verdict.REJECT, assurance=Assurance.LOCAL, comment="No.")


async def changed(place: Place, approval: Approval) -> None:
    await edited(place, approval, amount=9_000)


async def there_and_back(place: Place, approval: Approval) -> None:
    second = await edited(place, approval, amount=9_000)
    await edited(place, second, amount=900)


async def cancelled(place: Place, approval: Approval) -> None:
    from mcp_hitl.domain.policy.principal import LOOPBACK

    await place.desk.approvals.cancel(LOOPBACK, approval.id, None)


async def stopped(place: Place, approval: Approval) -> None:
    await place.desk.stops.pause(ANA)


RAISED = "os:ana changed:\n    amount\n      before: 900\n      after:  9000"
LOWERED = "os:ana changed:\n    amount\n      before: 9000\n      after:  900"
SHOWN = re.compile(r"amount\s+before: 900\s+after:  9000")
CELLS = re.compile(r">([^<\n]+)<")
STALE = {
    "edited": (
        changed,
        "was edited after this was shown",
        RAISED,
    ),
    "edited back again": (
        there_and_back,
        "was edited after this was shown",
        LOWERED,
    ),
    "rejected": (rejected, "was rejected by os:ana at ", "That is final; nothing was changed."),
    "cancelled": (cancelled, "was cancelled", "That is final; nothing was changed."),
    "stopped": (stopped, "The emergency stop is on", "nothing is decided"),
}


@pytest.mark.parametrize("verdict", ["approve", "reject"])
@pytest.mark.parametrize("case", STALE)
async def test_t07_a_stale_page_is_told_what_changed_and_decides_nothing(
    place: Place, http: httpx2.AsyncClient, case: str, verdict: str
) -> None:
    happens, *says = STALE[case]
    approval = await asked(place)
    headers = place.headers(await place.signed_in())
    fields = a_form(approval, await sealed_on(http, headers, approval), verdict, comment="As I see it.")
    await happens(place, approval)
    before = (await standing(place), await place.now(approval))
    response = await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=headers)
    assert response.status_code == 409, response.text
    assert all(words in response.json()["message"] for words in says), response.text
    assert (await standing(place), await place.now(approval)) == before


class Clock:
    """Goes with the wall, some time ahead."""

    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def test_t07_what_has_expired_meanwhile_is_not_decided(tmp_path: Path) -> None:
    clock = Clock()
    async with serving(tmp_path / "hitl.db", clock=clock) as place, program(place) as http:
        approval = await asked(place)
        clock.ahead = timedelta(days=6)
        headers = place.headers(await place.signed_in())
        fields = a_form(approval, await sealed_on(http, headers, approval))
        clock.ahead = timedelta(days=8)
        response = await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=headers)
        assert response.status_code == 409 and "expired" in response.json()["message"]
        assert ((await place.now(approval)).status.value, (await place.now(approval)).decisions) == ("expired", ())


async def test_t07_in_the_browser_a_stale_page_says_what_changed(chromium: Browser, place: Place) -> None:
    approval = await asked(place)
    async with visitor(chromium, place) as page:
        await hear_nothing(page)
        await page.goto(f"{place.address}/approvals/{approval.id}")
        await edited(place, approval, amount=9_000)
        async with page.expect_response("**/decide") as answering:
            await page.get_by_role("button", name="Approve").click()
        assert (await answering.value).status == 409
        await expect(page.get_by_role("alert").filter(has_text=SHOWN)).to_be_visible()
        assert (await place.now(approval)).decisions == ()


async def test_t07_an_open_page_learns_that_it_is_out_of_date_and_its_buttons_are_dead(
    chromium: Browser, place: Place
) -> None:
    approval = await asked(place)
    async with person(chromium, place, f"/approvals/{approval.id}") as page:
        await edited(place, approval, amount=9_000)
        await expect(page.get_by_text("it is not what you see here any more")).to_be_visible()
        await expect(page.get_by_role("button", name="Approve")).to_be_disabled()
        await page.get_by_role("button", name="Show it as it is now").click()
        await expect(page.get_by_text("9000").first).to_be_visible()
        await expect(page.get_by_role("button", name="Approve")).to_be_enabled()


async def test_t07_a_button_pressed_twice_decides_once(chromium: Browser, place: Place) -> None:
    approval = await asked(place)
    async with person(chromium, place, f"/approvals/{approval.id}") as page:
        await page.get_by_role("button", name="Approve").dblclick()
        await expect(page.get_by_role("heading", name="How it ended")).to_be_visible()
    assert len((await place.now(approval)).decisions) == 1


async def test_t07_the_same_decision_sent_many_times_at_once_is_one(place: Place, http: httpx2.AsyncClient) -> None:
    approval = await asked(place)
    headers = place.headers(await place.signed_in())
    fields = a_form(approval, await sealed_on(http, headers, approval))
    before, _ = await standing(place)
    told: list[int] = []

    async def send() -> None:
        told.append((await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=headers)).status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(send)
    assert set(told) == {200}
    assert len((await place.now(approval)).decisions) == 1
    assert (await standing(place))[0] == before + 2, "one decision, and the approval it makes"


async def test_t07_a_decision_that_is_replayed_against_a_later_revision_decides_nothing(
    tmp_path: Path,
) -> None:
    """Where two have to approve, the approval is still pending after the first."""
    async with serving(tmp_path / "hitl.db", rulebook=parse(PAIR).rulebook) as place, program(place) as http:
        approval = await place.ask("action", {"amount": 900})
        headers = place.headers(await place.signed_in())
        fields = a_form(approval, await sealed_on(http, headers, approval))
        first = await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=headers)
        assert first.status_code == 200
        await edited(place, approval, amount=9_000)
        before = await standing(place)
        await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=headers)
        after = await place.now(approval)
        assert (after.status.value, after.decisions_in_force, await standing(place)) == ("pending", (), before)


async def test_t07_a_page_that_showed_the_first_stage_does_not_decide_the_second(tmp_path: Path) -> None:
    async with serving(tmp_path / "hitl.db", rulebook=parse(PAIR).rulebook) as place, program(place) as http:
        approval = await place.ask("action", {"amount": 900})
        headers = place.headers(await place.signed_in())
        one, two = [a_form(approval, await sealed_on(http, headers, approval)) for _ in range(2)]
        where = f"/approvals/{approval.id}/decide"
        assert (await http.post(where, data=one, headers=headers)).status_code == 200
        before = await standing(place)
        late = await http.post(where, data=two, headers=headers)
        assert (late.status_code, late.json()["code"]) == (409, "conflict")
        assert "after this was shown: it was in stage" in late.json()["message"]
        assert (await http.post(where, data=one, headers=headers)).status_code == 200, "sent again, it is the same"
        now = await place.now(approval)
        assert (now.status.value, len(now.decisions), await standing(place)) == ("pending", 1, before)
        anew = a_form(approval, await sealed_on(http, headers, approval))
        assert (await http.post(where, data=anew, headers=headers)).status_code == 200
        assert (await place.now(approval)).status.value == "approved"


async def test_t07_a_page_of_an_earlier_version_is_loaded_again(place: Place, http: httpx2.AsyncClient) -> None:
    approval = await asked(place)
    sealed = URLSafeSerializer(KEY, salt="mcp-hitl inbox: shown").dumps([approval.id, 1, approval.digest, "nonce", 0])
    response = await http.post(
        f"/approvals/{approval.id}/decide",
        data=a_form(approval, str(sealed)),
        headers=place.headers(await place.signed_in()),
    )
    assert response.status_code == 422 and "Load it again" in response.json()["message"]


async def test_t07_a_seal_says_what_was_shown_and_nothing_else_is_decided(
    place: Place, http: httpx2.AsyncClient
) -> None:
    approval, other = await asked(place), await asked(place, {"pay": "alice"})
    headers = place.headers(await place.signed_in())
    sealed, of_other = await sealed_on(http, headers, approval), await sealed_on(http, headers, other)
    old = await sealed_on(http, headers, approval)
    approval = await edited(place, approval, amount=9_000)
    new = await sealed_on(http, headers, approval)
    forged = URLSafeSerializer(b"a key that somebody guessed, 32 bytes", salt="mcp-hitl inbox: shown")
    unsalted = URLSafeSerializer(KEY, salt="itsdangerous")
    content = [approval.id, approval.revision, approval.digest, "nonce", 0]
    payload, _, signature = new.rpartition(".")
    wrong = {
        "none": "",
        "of another approval": of_other,
        "of the revision before": old,
        "of the revision before, as it was": sealed,
        "signed with another key": str(forged.dumps(content)),
        "signed for something else": str(unsalted.dumps(content)),
        "not signed": payload,
        "signed by nobody": f"{payload}.",
        "of another, with this one's signature": f"{of_other.rpartition('.')[0]}.{signature}",
        "in plain": json.dumps(content),
        "not text": "\x00\u202e",
    }
    before = await standing(place)
    for case, seal in wrong.items():
        for path, tail in (("decide", {}), ("edit", {"step": "save", "text.pay": "mallory again"})):
            fields = a_form(approval, seal) | tail
            response = await http.post(f"/approvals/{approval.id}/{path}", data=fields, headers=headers)
            assert response.status_code in {409, 422}, (case, path, response.text)
    for swapped in ({"digest": other.digest}, {"revision": "1"}, {"digest": ""}, {"revision": "2.0"}, {"verdict": "?"}):
        fields = a_form(approval, new) | swapped
        response = await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=headers)
        assert (response.status_code, response.json()["code"]) == (422, "invalid"), swapped
    assert await standing(place) == before
    done = await http.post(f"/approvals/{approval.id}/decide", data=a_form(approval, new), headers=headers)
    assert (done.status_code, (await place.now(approval)).status.value) == (200, "approved")


async def test_t07_what_was_shown_of_one_approval_decides_no_other_that_is_equal(
    place: Place, http: httpx2.AsyncClient
) -> None:
    one, twin = await asked(place, dedup_key="one"), await asked(place, dedup_key="two")
    headers = place.headers(await place.signed_in())
    assert one.id != twin.id and one.digest == twin.digest
    fields = a_form(one, await sealed_on(http, headers, twin))
    response = await http.post(f"/approvals/{one.id}/decide", data=fields, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid")
    assert (await place.now(one)).decisions == (await place.now(twin)).decisions == ()


async def test_t07_a_seal_of_another_session_cannot_be_used_a_second_time(
    place: Place, http: httpx2.AsyncClient
) -> None:
    approval = await asked(place)
    first, second = place.headers(await place.signed_in()), place.headers(await place.signed_in())
    fields = a_form(approval, await sealed_on(http, first, approval))
    await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=first)
    before = (await standing(place), await place.now(approval))
    for verdict, status in (("reject", 409), ("approve", 200)):
        again = await http.post(
            f"/approvals/{approval.id}/decide", data=fields | {"verdict": verdict, "comment": "x"}, headers=second
        )
        assert again.status_code == status, "a no is not answered as if it counted"
    assert (await standing(place), await place.now(approval)) == before


async def test_t07_an_edit_on_what_was_edited_is_told_the_change_and_made_once(
    place: Place, http: httpx2.AsyncClient
) -> None:
    approval = await asked(place)
    headers = place.headers(await place.signed_in())
    fields = {"shown": await sealed_on(http, headers, approval, "/edit"), "json.amount": "1", "comment": ""}
    preview = await http.post(f"/approvals/{approval.id}/edit", data=fields | {"step": "review"}, headers=headers)
    assert (
        re.findall(r">([^<\n]+)<", preview.json()["difference"])[-3:] == ["amount", "900", "1"]
        and (await place.now(approval)).revision == 1
    )
    # What is saved is what was shown, and not what was typed since.
    other = fields | {"json.amount": "1000000", "step": "save", "wanted": preview.json()["wanted"]}
    unshown = await http.post(f"/approvals/{approval.id}/edit", data=other, headers=headers)
    assert (unshown.status_code, "not the change that was shown" in unshown.text) == (409, True)
    assert (await place.now(approval)).revision == 1
    await edited(place, approval, amount=9_000)
    for step in ("review", "save"):
        late = await http.post(f"/approvals/{approval.id}/edit", data=fields | {"step": step}, headers=headers)
        assert (late.status_code, late.json()["code"]) == (409, "conflict")
        assert RAISED in late.json()["message"]
    now = await place.now(approval)
    assert (now.revision, now.payload["amount"]) == (2, 9_000)


async def test_t07_what_ended_otherwise_is_neither_taken_back_nor_lifted_nor_settled(
    place: Place, http: httpx2.AsyncClient
) -> None:
    mine = await place.desk.approvals.submit(ANA, "action", {"pay": "alice"})
    headers = place.headers(await place.signed_in())
    fields = a_form(mine, await sealed_on(http, headers, mine))
    await http.post(f"/approvals/{mine.id}/decide", data=fields, headers=headers)
    before = (await standing(place), await place.now(mine))
    for path, sent in (("cancel", {"comment": ""}), ("lift", {}), ("reconcile", {"succeeded": "yes"})):
        response = await http.post(f"/approvals/{mine.id}/{path}", data=sent, headers=headers)
        assert response.status_code == 409, (path, response.text)
    assert (await standing(place), await place.now(mine)) == before
