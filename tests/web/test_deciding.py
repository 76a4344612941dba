"""Deciding in a real browser: one, several, with a form, after an edit; and where the page is out of date."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from web.rig import ANA, Place, decide, lunches, person, serving

from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState, Status
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK

pytestmark = pytest.mark.anyio

POLICY = """
[kinds.deploy]
title = "Deploy {what}"

  [kinds.deploy.schema]
  type = "object"
  required = ["what", "replicas", "dry"]
  additionalProperties = false

    [kinds.deploy.schema.properties]
    what = { type = "string", title = "What" }
    replicas = { type = "integer", minimum = 1 }
    dry = { type = "boolean" }
    where = { type = "object" }
    note = { type = "string" }
    hidden = { type = "string" }

[kinds.trip]
title = "Trip"
schema = { type = "object" }

  [kinds.trip.form]
  required = ["word", "count", "sure", "when", "class", "city"]

    [kinds.trip.form.properties]
    word = { type = "string", title = "Word", minLength = 3, maxLength = 10 }
    story = { type = "string", title = "Story" }
    count = { type = "integer", title = "Count", minimum = 1, maximum = 5 }
    price = { type = "number", title = "Price" }
    sure = { type = "boolean", title = "Sure" }
    when = { type = "string", title = "When", format = "date" }
    mail = { type = "string", title = "Mail", format = "email" }
    class = { type = "string", title = "Class", enum = ["first", "second"] }
    city = { type = "string", title = "City", enum = ["a", "b", "c", "d", "e", "f", "g"] }
    extras = { type = "array", title = "Extras", items = { type = "string", enum = ["seat", "meal"] } }

[kinds.expense]
"""
DEPLOY = {"what": "web", "replicas": 2, "dry": False, "where": {"region": "eu", "zones": [1, 2]}, "hidden": "a\u200bb"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Place]:
    """An inbox under the policy above."""
    async with serving(tmp_path / "hitl.db", rulebook=parse(POLICY).rulebook) as place:
        yield place


async def edit_elsewhere(place: Place, approval: Approval, **changes: Any) -> Approval:
    """Somebody edits it meanwhile."""
    held = await place.now(approval)
    return await place.desk.approvals.edit(
        ANA, Shown.of(held), held.payload | changes, assurance=Assurance.LOCAL, comment="Less."
    )


async def ended(page: Page) -> None:
    """Return when the page shows how it ended."""
    await expect(page.get_by_role("heading", name="How it ended")).to_be_visible()


async def test_a_rejection_needs_a_reason_and_can_be_lifted(chromium: Browser, place: Place) -> None:
    [approval] = await lunches(place, 1)
    async with person(chromium, place, f"/approvals/{approval.id}", refused=True) as page:
        await page.get_by_role("button", name="Reject").click()
        await expect(page.get_by_role("alert").first).to_have_text("Give a reason. The requester will see it.")
        assert (await place.now(approval)).status is Status.PENDING
        await page.get_by_label("Comment").fill("We ate already.")
        await page.get_by_role("button", name="Reject").click()
        await ended(page)
        await expect(page.locator("blockquote")).to_have_text("We ate already.")
        assert (await lunches(place, 1))[0].id == approval.id
        await expect(page.get_by_role("button", name="Allow the same request again now")).to_be_visible()
        await page.get_by_role("button", name="Allow the same request again now").click()
        await expect(page.get_by_role("button", name="Allow the same request again now")).to_have_count(0)
        assert (await lunches(place, 1))[0].id != approval.id


async def test_ones_own_request_can_be_taken_back(chromium: Browser, place: Place) -> None:
    approval = await place.desk.approvals.submit(ANA, "action", {"send": "it"}, claim="Send it")
    async with person(chromium, place, f"/approvals/{approval.id}") as page:
        await page.get_by_text("Take it back", exact=True).click()
        await page.get_by_label("Reason").fill("Not today.")
        await page.get_by_role("button", name="Cancel this request").click()
        await ended(page)
        await expect(page.locator(".ended")).to_contain_text("Not today.")
    assert (await place.now(approval)).status is Status.CANCELLED


async def test_an_outcome_that_nobody_could_tell_is_settled(chromium: Browser, place: Place) -> None:
    approval = await place.ask("action", {"send": "it"}, claim="Send it")
    await decide(place, approval)
    held = await place.desk.approvals.redeem(LOOPBACK, approval.id, approval.digest)
    assert held.outcome.state is OutcomeState.RUNNING
    async with person(chromium, place, f"/approvals/{approval.id}") as page:
        await ended(page)
        await expect(page.get_by_text("Outcome: running")).to_be_visible()
        # What has run for too long counts as unknown; the page follows by itself.
        await place.desk.decisions.reconcile(ANA, approval.id, True, assurance=Assurance.LOCAL)
        await expect(page.get_by_text("Outcome: succeeded")).to_be_visible()


async def test_fields_are_edited_as_what_they_are(chromium: Browser, desk: Place) -> None:
    approval = await desk.ask("deploy", DEPLOY)
    async with person(chromium, desk, f"/approvals/{approval.id}/edit", refused=True) as page:
        show = page.get_by_role("button", name="Show the change")
        await expect(page.get_by_label("hidden")).to_have_value('"a\\u200bb"')
        await show.click()
        await expect(page.locator(".decide .said")).to_contain_text("there is nothing to edit")
        await page.get_by_label("replicas").fill("many")
        await show.click()
        await expect(page.locator(".decide .said")).to_contain_text("replicas")
        await page.get_by_label("replicas").fill("0")
        await show.click()
        await expect(page.locator(".decide .said")).to_contain_text("replicas")
        await page.get_by_label("replicas").fill("3")
        await page.get_by_label("dry").select_option("true")
        await page.get_by_label("where").fill('{"region": "us", "zones": []}')
        await show.click()
        await expect(page.locator(".difference")).to_contain_text("replicas")
        await page.get_by_label("What").fill("api")  # changes the change: it has to be shown anew
        await expect(page.locator(".difference")).to_be_hidden()
        await show.click()
        await expect(page.locator(".difference")).to_contain_text("api")
        await page.get_by_role("button", name="Save as revision 2").click()
        await expect(page.get_by_role("heading", name="Deploy api")).to_be_visible()
    after = await desk.now(approval)
    assert after.payload == DEPLOY | {
        "what": "api", "replicas": 3, "dry": True, "where": {"region": "us", "zones": []},
    }  # fmt: skip
    assert type(after.payload["replicas"]) is int and "note" not in after.payload


async def test_a_payload_is_edited_as_json(chromium: Browser, desk: Place) -> None:
    approval = await desk.ask("deploy", DEPLOY)
    async with person(chromium, desk, f"/approvals/{approval.id}/edit", refused=True) as page:
        await page.get_by_role("link", name="Edit all of it as JSON").click()
        text = page.get_by_label("The whole payload")
        await expect(text).to_be_visible()
        for wrong, says in (("{", "payload"), ("[]", "object"), ('{"what": "web"}', "lacks")):
            await text.fill(wrong)
            await page.get_by_role("button", name="Show the change").click()
            await expect(page.locator(".decide .said")).to_contain_text(says)
        await text.fill('{"what": "web", "replicas": 2, "dry": true, "note": "two\\nlines"}')
        await page.get_by_role("button", name="Show the change").click()
        await page.get_by_role("button", name="Save as revision 2").click()
        await expect(page.get_by_role("heading", name="Changed by people")).to_be_visible()
    assert (await desk.now(approval)).payload == {"what": "web", "replicas": 2, "dry": True, "note": "two\nlines"}


async def test_a_form_takes_every_type_and_says_what_does_not_fit(chromium: Browser, desk: Place) -> None:
    approval = await desk.ask("trip", {"to": "Lyon"})
    async with person(chromium, desk, f"/approvals/{approval.id}", refused=True) as page:
        approve, said = page.get_by_role("button", name="Approve"), page.get_by_role("alert").first
        await approve.click()  # the browser itself asks for what is missing
        await expect(page.get_by_label("Word")).to_be_focused()
        await page.get_by_label("Word").fill("Lyon")
        await page.get_by_label("Count").fill("9")
        await page.get_by_label("Sure").select_option("Yes")
        await page.get_by_label("When").fill("2027-01-02")
        await page.get_by_label("first", exact=True).check()
        await page.get_by_label("City").select_option("d")
        await approve.click()
        await expect(said).to_have_text("answer.count must be at most 5.")
        await page.get_by_label("Count").fill("three")
        await approve.click()
        await expect(said).to_contain_text("Count must be a number")
        await page.get_by_label("Count").fill("3")
        await page.get_by_label("Mail").fill("nobody")
        await approve.click()
        await expect(said).to_contain_text("mail")
        await page.get_by_label("Mail").fill("ana@example.com")
        await page.get_by_label("Price").fill("12.5")
        await page.get_by_label("Story").fill("one\ntwo")
        await page.get_by_label("meal").check()
        await approve.click()
        await ended(page)
    assert (await desk.now(approval)).answer == {
        "word": "Lyon", "story": "one\ntwo", "count": 3, "price": 12.5, "sure": True, "when": "2027-01-02",
        "mail": "ana@example.com", "class": "first", "city": "d", "extras": ["meal"],
    }  # fmt: skip


async def test_a_page_that_is_out_of_date_says_so_and_decides_nothing(chromium: Browser, place: Place) -> None:
    asked = await lunches(place, 2)
    async with person(chromium, place, f"/approvals/{asked[0].id}") as page:
        await edit_elsewhere(place, asked[0], amount=5)
        await expect(page.locator("#news")).to_contain_text("This was edited")
        for name in ("Approve", "Reject"):
            await expect(page.get_by_role("button", name=name)).to_be_disabled()
        await page.get_by_role("button", name="Show it as it is now").click()
        await expect(page.get_by_role("button", name="Approve")).to_be_enabled()
        await decide(place, asked[0])
        await expect(page.locator("#news")).to_contain_text("This is approved now.")
        await expect(page.get_by_role("button", name="Approve")).to_be_disabled()


async def test_what_the_page_has_not_heard_yet_is_told_by_the_answer_and_its_buttons_stay_off(
    chromium: Browser, place: Place
) -> None:
    [approval] = await lunches(place, 1)
    async with person(chromium, place, f"/approvals/{approval.id}", refused=True) as page:
        # The request is on its way while somebody edits.
        async def meanwhile(route: Any) -> None:
            await edit_elsewhere(place, approval, amount=5)
            await expect(page.locator("#news")).to_contain_text("This was edited")
            await route.continue_()

        await page.route("**/decide", meanwhile)
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_role("alert").first).to_contain_text("os:ana changed")
        await expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    assert (await place.now(approval)).status is Status.PENDING


async def test_several_are_chosen_shown_in_full_and_decided_together(chromium: Browser, desk: Place) -> None:
    asked = await lunches(desk, 4)
    trip = await desk.ask("trip", {"to": "Lyon"})
    async with person(chromium, desk) as page:
        await expect(page.get_by_label("Choose: Trip")).to_have_count(0)  # has questions of its own
        for n in (1, 2, 3, 4):
            await page.get_by_label(f"Lunch {n}").check()
        await page.get_by_role("button", name="Look at them together").click()
        await expect(page.get_by_role("heading", name="4 together")).to_be_visible()
        await expect(page.locator(".payload")).to_have_count(4)
        await page.get_by_role("checkbox", name="Lunch 1").uncheck()
        await expect(page.get_by_role("button", name="Approve 3")).to_be_enabled()
        await decide(desk, asked[1], Verdict.REJECT)
        await edit_elsewhere(desk, asked[2], amount=5)
        await expect(page.locator(f"[data-id={asked[1].id}] .result")).to_have_text("It is rejected now.")
        await expect(page.locator(f"[data-id={asked[2].id}] .result")).to_contain_text("it was edited")
        await page.get_by_role("button", name="Approve 1").click()
        await expect(page.locator(f"[data-id={asked[3].id}] .result")).to_contain_text("it is approved")
        await expect(page.get_by_text("1 of 1 recorded.")).to_be_visible()
        await page.goto(f"{desk.address}/batch?id={trip.id}")
        await expect(page.get_by_text("Not part of this: It has questions to answer")).to_be_visible()
    statuses = [(await desk.now(one)).status.value for one in (*asked, trip)]
    assert statuses == ["pending", "rejected", "pending", "approved", "pending"]


async def test_what_does_not_exist_says_so(chromium: Browser, place: Place) -> None:
    async with person(chromium, place, refused=True) as page:
        for path in ("/approvals/apr_0", "/approvals/apr_" + "0" * 26, "/nowhere"):
            response = await page.goto(place.address + path)
            assert response is not None and response.status == 404
            await expect(page.get_by_role("heading", name="Not here")).to_be_visible()


async def test_after_a_decision_the_page_says_what_happens_now_and_offers_the_next_one(
    chromium: Browser, place: Place
) -> None:
    first, second = await place.ask("action", {"send": "it"}, claim="Send it"), (await lunches(place, 1))[0]
    async with person(chromium, place, f"/approvals/{first.id}") as page:
        await page.get_by_role("button", name="Approve").click()
        ended = page.get_by_role("region", name="How it ended")
        await expect(ended).to_contain_text("The agent may do it now, once.")
        await ended.get_by_role("link", name="Next: Expense: 1 USD for Lunch 1").click()
        await page.wait_for_url(f"{place.address}/approvals/{second.id}")
        assert (await place.now(second)).status is Status.PENDING
        await page.get_by_label("Comment").fill("Not today.")
        await page.get_by_role("button", name="Reject").click()
        await expect(ended).to_contain_text("Nothing is done. The agent reads the reason as soon as it looks.")
        await expect(ended).to_contain_text("Nothing else waits for a decision.")
