"""What whoever has offered a sign-in link is told of it: it was used, it was voided, or nobody came."""

import anyio
import pytest
from desk_samples import ANA, BO, LONG, Clock, WatchedStore

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.session import SESSION_LIFE, LinkEnd
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.errors import NotAllowed

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]


class Offered:
    """A link, and what the one who waits for it is told in the end."""

    def __init__(self, desk: Desk, code: str) -> None:
        """Not yet."""
        self._desk = desk
        self.code = code
        self.end: LinkEnd | None = None

    async def wait(self) -> None:
        self.end = await self._desk.inbox.link_end(self.code, seconds=LONG)


async def test_a_link_that_is_used_in_another_process_and_no_other_link_is_told(
    served: Desk, elsewhere: Desk, store: WatchedStore
) -> None:
    await elsewhere.inbox.sign_in(await elsewhere.inbox.offer_link(ANA))
    offered, others = Offered(served, await served.inbox.offer_link(ANA)), await served.inbox.offer_link(ANA)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(offered.wait)
        await store.has_answered("sessions.has_link")
        await elsewhere.inbox.sign_in(others)
        await store.has_answered("sessions.has_link", 2)
        assert offered.end is None
        await elsewhere.inbox.sign_in(offered.code)
    assert offered.end is LinkEnd.USED


@pytest.mark.parametrize("sessions", [0, 2])
async def test_a_link_that_a_sign_out_has_voided_is_told_as_voided_and_the_log_tells_of_it_too(
    served: Desk, elsewhere: Desk, store: WatchedStore, sessions: int
) -> None:
    for _ in range(sessions):
        await elsewhere.inbox.sign_in(await elsewhere.inbox.offer_link(ANA))
    offered = Offered(served, await served.inbox.offer_link(ANA))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(offered.wait)
        await store.has_answered("sessions.has_link")
        assert await elsewhere.inbox.sign_everybody_out(BO) == sessions
    assert offered.end is LinkEnd.VOIDED
    told = [one.entry for one in await store.read(lambda view: view.log.chain(0, 10))][sessions:]
    assert [(entry.event, entry.actor) for entry in told] == [(Event.SIGNED_OUT, BO.id)] * (sessions + 1)
    assert [entry.data for entry in told] == [{"person": ANA.id}] * sessions + [{"links": 1}]
    with pytest.raises(NotAllowed):
        await elsewhere.inbox.sign_in(offered.code)


async def test_where_nothing_was_open_signing_everybody_out_is_no_event(desk: Desk) -> None:
    assert await desk.inbox.sign_everybody_out(ANA) == 0
    assert await desk.search.seq() == 0


async def test_what_is_outdated_is_not_signed_out_anew(desk: Desk, clock: Clock) -> None:
    session = await desk.inbox.sign_in(await desk.inbox.offer_link(ANA))
    await desk.inbox.offer_link(ANA)
    clock.advance(SESSION_LIFE)
    before = await desk.search.seq()
    assert await desk.inbox.session(session.secret) is None
    assert (await desk.inbox.sign_everybody_out(ANA), await desk.search.seq()) == (0, before)


async def test_a_link_that_nobody_uses_is_not_waited_for_longer_than_was_asked(served: Desk) -> None:
    assert await served.inbox.link_end(await served.inbox.offer_link(ANA), seconds=0.01) is LinkEnd.UNUSED
