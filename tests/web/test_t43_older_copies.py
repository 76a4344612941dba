"""The inbox says that an older copy was put back, until a person has confirmed it."""

import shutil
from pathlib import Path

import anyio
import pytest
from asked import ask
from playwright.async_api import Browser, expect
from web.rig import ANA, GUARD_SECONDS, person, serving

pytestmark = pytest.mark.anyio
LINE = "An older copy of the database was put back. Nothing is decided or carried out until somebody who has looked"


async def test_t43_the_inbox_says_that_an_older_copy_was_put_back_until_it_is_confirmed(
    chromium: Browser, tmp_path: Path
) -> None:
    database = tmp_path / "hitl.db"

    def put_back() -> None:
        ask(database, "action", {"do": "it"})
        shutil.copy(database, tmp_path / "copy.db")
        ask(database, "action", {"do": "more"})
        shutil.copy(tmp_path / "copy.db", database)

    await anyio.to_thread.run_sync(put_back)
    with anyio.fail_after(GUARD_SECONDS):
        async with serving(database) as place:
            async with person(chromium, place) as page:
                line = page.get_by_role("alert").filter(has_text="older copy")
                await expect(line).to_contain_text(LINE)
                await expect(line).to_contain_text("mcp-hitl restore --confirm")
            assert await place.desk.copies.confirm(ANA)
            async with person(chromium, place) as page:
                await expect(page.get_by_role("heading", name="Pending")).to_be_visible()
                await expect(page.get_by_role("alert").filter(has_text="older copy")).to_have_count(0)
