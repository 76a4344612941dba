"""The evidence in a real browser: checked, and taken along as a file that anybody can verify."""

import json
from pathlib import Path

import anyio
import pytest
from playwright.async_api import Browser, expect
from terminal import run
from web.rig import Place, decide, lunches, person

pytestmark = pytest.mark.anyio


async def test_the_chain_is_checked_and_its_export_verifies_elsewhere(
    chromium: Browser, place: Place, tmp_path: Path
) -> None:
    for approval in await lunches(place, 3):
        await decide(place, approval, comment="For your eyes only.")
    async with person(chromium, place, "/evidence", accept_downloads=True) as page:
        await page.get_by_role("button", name="Check all of it now").click()
        await expect(page.locator(".decide .said")).to_contain_text("Intact")
        for name, contents in (("Export", True), ("Export without contents", False)):
            async with page.expect_download() as started:
                await page.get_by_role("link", name=name, exact=True).click()
            file = tmp_path / (await started.value).suggested_filename
            await (await started.value).save_as(file)
            text = await anyio.Path(file).read_text(encoding="utf-8")
            assert len(text.splitlines()) > 9 and all(json.loads(line) for line in text.splitlines())
            assert ("For your eyes only." in text) is contents
            done = await anyio.to_thread.run_sync(run, None, "audit", "verify", str(file))
            assert done.returncode == 0, done.stdout + done.stderr
