"""However often the same is asked for, its page stays short."""

import os
from pathlib import Path

import httpx2
import pytest
from asked import ask_again
from web.attack import asked, page_of
from web.rig import ANA, Place

from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import LOOPBACK

pytestmark = pytest.mark.anyio
TIMES = 30_000 if os.environ.get("SOAK") else 3_000


async def test_t37_a_page_folds_what_was_asked_again_and_again(
    place: Place, http: httpx2.AsyncClient, tmp_path: Path
) -> None:
    approval = await asked(place)
    await ask_again(tmp_path / "hitl.db", approval, LOOPBACK, TIMES)
    page = await page_of(http, place.headers(await place.signed_in()), f"/approvals/{approval.id}")
    assert len(page.encode()) < 100_000
    assert f"{TIMES - 20:,} more times, from " in page
    assert page.count("<td>asked-again</td>") == 20 + 1
    assert "each what its hash says" in page


async def test_t37_a_page_shows_the_first_and_the_last_of_many_edits(place: Place, http: httpx2.AsyncClient) -> None:
    now = approval = await asked(place)
    for number in range(14):
        changed = {**now.payload, "description": f"Change {number} of it"}
        now = await place.desk.approvals.edit(ANA, Shown.of(now), changed, assurance=Assurance.LOCAL)
    page = await page_of(http, place.headers(await place.signed_in()), f"/approvals/{approval.id}")
    assert "… changed 4 more times" in page
    assert page.count('<div class="change">') == 10
    assert "Change 13 of it" in page and "<strong>Revision 4</strong>" not in page
