"""What a decision in the inbox counts for is what the session is worth in which it is made."""

from dataclasses import replace
from pathlib import Path

import pytest
from web.attack import a_form, asked, program, sealed_on
from web.rig import Place, serving

from mcp_hitl.config.policy_file import parse
from mcp_hitl.desk.sign_in import SignedIn
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio

POLICY = '[kinds.action]\nassurance = "session"\n'


async def worth(place: Place, assurance: Assurance) -> SignedIn:
    """A session of that assurance."""
    signed_in = await place.signed_in()

    def raise_it(tx: Transaction) -> None:
        tx.sessions.end(signed_in.session.digest)
        tx.sessions.add(replace(signed_in.session, assurance=assurance))

    await place.desk.store.write(raise_it)
    return signed_in


async def test_a_decision_has_the_assurance_of_the_session_in_which_it_is_made(tmp_path: Path) -> None:
    async with serving(tmp_path / "hitl.db", rulebook=parse(POLICY).rulebook) as place, program(place) as http:
        approval = await asked(place)
        low, high = [place.headers(await worth(place, one)) for one in (Assurance.LOCAL, Assurance.SESSION)]
        fields, to = a_form(approval, await sealed_on(http, high, approval)), f"/approvals/{approval.id}/decide"
        refused = await http.post(to, data=fields, headers=low)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
        assert "requires the assurance session" in refused.json()["message"]
        assert (await http.post(to, data=fields, headers=high)).status_code == 200
        [decision] = (await place.now(approval)).decisions
    assert decision.assurance is Assurance.SESSION


async def test_a_page_offers_a_decision_only_in_a_session_that_is_worth_it(tmp_path: Path) -> None:
    async with serving(tmp_path / "hitl.db", rulebook=parse(POLICY).rulebook) as place, program(place) as http:
        approval = await asked(place)
        for assurance, offered in ((Assurance.LOCAL, False), (Assurance.SESSION, True)):
            headers = place.headers(await worth(place, assurance))
            page = await http.get(f"/approvals/{approval.id}", headers=headers)
            assert ('value="approve"' in page.text) is offered


async def test_a_link_begins_a_session_that_is_local_and_authenticated_now(place: Place) -> None:
    session = (await place.signed_in()).session
    assert (session.assurance, session.authenticated_at) == (Assurance.LOCAL, session.since)
