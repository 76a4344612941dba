"""What an open page costs, and what it hears: the causes of its costing little; the figures are in `benchmarks`."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import httpx2
import pytest
from asked import lunch
from web.rig import ANA, GUARD_SECONDS, Place, decide, serving
from web.streams import Stream, stream

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.view import View
from mcp_hitl.web import live

pytestmark = pytest.mark.anyio


class Counted:
    """How often the store was read and a row rendered."""

    def __init__(self) -> None:
        """Not yet."""
        self.reads = self.rows = 0

    def watch(self, stack: AsyncExitStack) -> None:
        """Count from now on."""
        read, part = SqliteStore.read, live.part

        async def counting_read(store: SqliteStore, work: Callable[[View], Any]) -> Any:
            self.reads += 1
            return await read(store, work)

        def counting_part(*arguments: Any) -> str:
            self.rows += 1
            return part(*arguments)

        stack.enter_context(mock.patch.object(SqliteStore, "read", counting_read))
        stack.enter_context(mock.patch.object(live, "part", counting_part))


@pytest.mark.parametrize("pages", [1, 50])
async def test_a_change_is_read_and_rendered_once_however_many_pages_are_open(place: Place, pages: int) -> None:
    approval = await place.ask("action", {"send": "it"}, claim="Send it")
    session = await place.signed_in()
    counted = Counted()
    with anyio.fail_after(GUARD_SECONDS):
        async with AsyncExitStack() as stack:
            heard: list[Stream] = [
                await stack.enter_async_context(stream(place.address, place.database, session)) for _ in range(pages)
            ]
            counted.watch(stack)
            await decide(place, approval)
            for each in heard:
                await each.until(approval.id)
    assert counted.rows == 1
    # By the feed, by the one who tells, and by the timers and flows that look at every change too: a handful, and not
    # one for each page.
    assert counted.reads <= 20
    assert all(each.heard.count(b"event: changed") == 1 for each in heard)


async def test_changes_that_come_together_are_told_together(place: Place) -> None:
    session = await place.signed_in()
    with anyio.fail_after(GUARD_SECONDS):
        async with stream(place.address, place.database, session) as page:
            asked = [await place.ask(payload=lunch(amount=n)) for n in range(1, 11)]
            for approval in asked:
                await page.until(f'"id": "{approval.id}"')
            assert page.heard.count(b"event: changed") < len(asked)


async def test_more_changes_than_a_page_would_follow_are_told_in_one_word(place: Place) -> None:
    session = await place.signed_in()
    with anyio.fail_after(GUARD_SECONDS), mock.patch.object(live, "_MOST", 3):
        async with stream(place.address, place.database, session) as page, anyio.create_task_group() as tasks:
            # What is submitted at once is committed at once.
            for n in range(1, 33):
                tasks.start_soon(lambda n: place.ask(payload=lunch(amount=n)), n)
            await page.until('"reload": true')


async def test_signing_out_ends_the_streams_of_that_browser_and_no_others(place: Place) -> None:
    leaving, staying = await place.signed_in(), await place.signed_in()
    with anyio.fail_after(GUARD_SECONDS):
        async with (
            stream(place.address, place.database, leaving) as one,
            stream(place.address, place.database, staying) as other,
        ):
            async with httpx2.AsyncClient(base_url=place.address) as browser:
                assert (await browser.post("/sign-out", headers=place.headers(leaving))).status_code == 200
            await one.end()
            approval = await place.ask()
            await other.until(approval.id)
            assert approval.id.encode() not in one.heard


async def test_signing_out_at_another_server_ends_the_streams_here(place: Place, tmp_path: Path) -> None:
    leaving, staying = await place.signed_in(), await place.signed_in()
    with anyio.fail_after(GUARD_SECONDS):
        async with (
            serving(tmp_path / "hitl.db") as elsewhere,
            stream(place.address, place.database, leaving) as one,
            stream(place.address, place.database, staying) as other,
        ):
            await elsewhere.desk.inbox.sign_out(leaving.session)
            await one.end()
            approval = await place.ask()
            await other.until(approval.id)


async def test_an_open_page_hears_of_a_stop_and_of_its_end_and_of_no_sign_in(place: Place) -> None:
    session = await place.signed_in()
    with anyio.fail_after(GUARD_SECONDS):
        async with stream(place.address, place.database, session) as page:
            before = await place.desk.search.seq()
            await place.signed_in()
            await place.desk.stops.pause(ANA)
            await page.until('"stops": true')
            await place.desk.stops.resume(ANA, None)
            await page.until('"stops": true', times=2)
            assert page.heard.count(b"event: changed") == 2, "nobody is told of a sign-in"
            await page.until(f'"seq": {await place.desk.search.seq()}')
            approval = await place.ask()
            await page.until(approval.id)
            assert page.heard.count(b'"stops"') == 2
            async with httpx2.AsyncClient(base_url=place.address) as browser:
                missed = await browser.get("/changes", params={"after": before}, headers=place.headers(session))
                assert missed.json()["stops"] is True and missed.json()["seq"] == await place.desk.search.seq()
                after = missed.json()["seq"]
                missed = await browser.get("/changes", params={"after": after}, headers=place.headers(session))
                assert (missed.json()["seq"], "stops" in missed.json()) == (after, False)


async def test_pages_are_followed_again_after_a_feed_that_could_not_be_read(place: Place) -> None:
    session = await place.signed_in()
    listen = place.desk.feed.listen
    failures = [Unavailable("The disk went away.")]

    def failing_once(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return listen(*arguments)

    with (
        anyio.fail_after(GUARD_SECONDS),
        mock.patch.object(live, "_PAUSE_AFTER_FAILURE", 0),
        mock.patch.object(place.desk.feed, "listen", failing_once),
    ):
        async with stream(place.address, place.database, session) as page:
            await page.until('{"back": true}')
            approval = await place.ask()
            await page.until(approval.id)
