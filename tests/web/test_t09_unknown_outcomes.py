"""T9: what was interrupted while it acted is settled by a person on its page, once, and by nobody else."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from playwright.async_api import Browser, expect
from web.attack import hear, hear_nothing, program, standing, without
from web.rig import ANA, GUARD_SECONDS, Place, decide, person, serving

from mcp_hitl import Flow, Step
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.kinds import ACTION, BUILT_IN
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.web.door import TOKEN

pytestmark = pytest.mark.anyio

YES, NO = "It happened", "It did not"


class Paying(Flow[Any, Any]):
    """Pays, and does not learn whether it did."""

    kind = "pay"

    async def run(self, value: Any, step: Step) -> None:
        await step.wait_for_approval("person", payload=value)
        await step.do("pay", self._pay, at_most_once=True)

    def _pay(self) -> None:
        raise TimeoutError("The bank does not answer.")


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncGenerator[Place]:
    """An inbox where payments can be approved."""
    pay = replace(ACTION, name=Paying.kind, flow=f"{Paying.__module__}:{Paying.__name__}")
    async with serving(tmp_path / "hitl.db", rulebook=Rulebook(kinds={**BUILT_IN, pay.name: pay})) as place:
        yield place


@pytest.fixture
async def http(bank: Place) -> AsyncGenerator[httpx2.AsyncClient]:
    """A program that speaks HTTP to it."""
    async with program(bank) as client:
        yield client


async def unknown(bank: Place) -> Approval:
    """A payment that was approved, and of which nobody knows whether it was made."""
    approval = await bank.ask("pay", {"to": "Bo"})
    told = anyio.Event()
    with anyio.fail_after(GUARD_SECONDS):
        async with bank.desk.feed.listen(approval.id, lambda _: told.set(), events={Event.UNKNOWN}):
            await decide(bank, approval)
            await told.wait()
    return await bank.now(approval)


@pytest.mark.parametrize(("button", "state"), [(YES, "succeeded"), (NO, "failed")])
async def test_t09_a_person_settles_it_on_its_page(
    chromium: Browser, bank: Place, button: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = await bank.ask("pay", {"to": "Bo"})
    async with person(chromium, bank, f"/approvals/{approval.id}") as page:
        heard = hear(monkeypatch)
        await decide(bank, approval)
        await page.get_by_role("button", name="Show it as it is now").click()
        await expect(page.get_by_text("Outcome: unknown")).to_be_visible()
        await page.get_by_role("button", name=button, exact=True).click()
        await expect(page.get_by_text(f"Outcome: {state}")).to_be_visible()
        await expect(page.get_by_role("heading", name="Did it happen?")).to_have_count(0)
    [sent] = [one for one in heard if one.path.endswith("/reconcile")]
    assert (sent.method, sent.status, sent.headers["origin"]) == ("POST", 200, bank.address)
    assert len(sent.headers[TOKEN]) == 43
    assert (await bank.now(approval)).outcome.state.value == state
    last = (await bank.desk.approvals.trail(ANA, approval.id)).entries[-1].entry
    assert (last.event.value, last.actor, last.established) == (state, "os:ana", "sign-in-link")


async def test_t09_a_page_that_is_open_shows_what_somebody_else_has_settled(chromium: Browser, bank: Place) -> None:
    approval = await unknown(bank)
    async with person(chromium, bank, f"/approvals/{approval.id}") as page:
        await expect(page.get_by_role("button", name=YES)).to_be_enabled()
        await bank.desk.decisions.reconcile(ANA, approval.id, False, assurance=Assurance.LOCAL)
        await expect(page.get_by_text("Outcome: failed")).to_be_visible()
        await expect(page.get_by_role("button", name=YES)).to_have_count(0)


async def test_t09_a_stale_page_says_what_was_settled_and_settles_nothing(chromium: Browser, bank: Place) -> None:
    approval = await unknown(bank)
    async with person(chromium, bank, refused=True) as page:
        await hear_nothing(page)
        await page.goto(f"{bank.address}/approvals/{approval.id}")
        await bank.desk.decisions.reconcile(ANA, approval.id, False, assurance=Assurance.LOCAL)
        before = (await standing(bank), await bank.now(approval))
        await page.get_by_role("button", name=YES).click()
        said = page.get_by_role("alert").filter(has_text="is failed, so there is nothing to reconcile.")
        await expect(said).to_be_visible()
        assert (await standing(bank), await bank.now(approval)) == before


@pytest.mark.parametrize(
    ("lacks", "others", "sent", "status"),
    [
        (TOKEN, {}, {"succeeded": "yes"}, 403),
        ("origin", {}, {"succeeded": "yes"}, 403),
        ("origin", {"origin": "http://evil.example"}, {"succeeded": "yes"}, 403),
        ("cookie", {}, {"succeeded": "yes"}, 401),
        ("", {}, {}, 422),
        ("", {}, {"succeeded": "perhaps"}, 422),
    ],
    ids=["no token", "no origin", "another origin", "not signed in", "nothing said", "neither yes nor no"],
)
async def test_t09_nothing_is_settled_by_a_request_that_is_no_answer_of_a_person_on_the_page(
    bank: Place, http: httpx2.AsyncClient, lacks: str, others: dict[str, str], sent: dict[str, str], status: int
) -> None:
    approval = await unknown(bank)
    headers = bank.headers(await bank.signed_in())
    before = (await standing(bank), await bank.now(approval))
    path = f"/approvals/{approval.id}/reconcile"
    response = await http.post(path, data=sent, headers=without(headers, lacks, **others))
    assert (response.status_code, (await standing(bank), await bank.now(approval))) == (status, before)
    assert before[1].outcome.state is OutcomeState.UNKNOWN
    response = await http.post(path, data={"succeeded": "yes"}, headers=headers)
    assert (response.status_code, (await bank.now(approval)).outcome.state) == (200, OutcomeState.SUCCEEDED)
