"""T35: whoever opens the inbox is told that the policy file changed, while it is news."""

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from server.rig import Clock
from web.rig import ANA, person, serving

from mcp_hitl.config.policy_file import read

pytestmark = pytest.mark.anyio


async def test_t35_the_list_tells_that_the_policy_changed_by_whom_and_for_a_week(
    chromium: Browser, tmp_path: Path
) -> None:
    policy, clock = tmp_path / "policy.toml", Clock()
    async with serving(tmp_path / "hitl.db", clock=clock) as place:

        async def opened_with(text: str) -> None:
            policy.write_text(text)
            place.desk.rulebook = read(policy).rulebook
            await place.desk.check_policy(ANA)

        async with person(chromium, place) as page:
            told = page.get_by_role("status").filter(has_text="The policy changed")
            await opened_with("[kinds.action]\nassurance = 'session'\n")
            await page.reload()
            await expect(told).to_have_count(0)  # the first policy of a database replaces none
            await opened_with("[kinds.action]\nassurance = 'local'\n")
            await page.reload()
            await expect(told).to_contain_text("by os:ana. It says who decides. If this was not you, stop everything")
            await page.goto(f"{place.address}/evidence")
            await expect(page.get_by_text("Policy file")).to_be_visible()
            assert place.desk.rulebook.digest is not None
            await expect(page.get_by_text(place.desk.rulebook.digest)).to_be_visible()
        clock.ahead = timedelta(days=7)
        async with person(chromium, place) as page:
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.get_by_role("status").filter(has_text="The policy changed")).to_have_count(0)
