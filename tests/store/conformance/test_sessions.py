"""Sessions and links: what every store does with them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from samples import START

from mcp_hitl.domain.approvals.session import Session
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio

ANA = Principal("os:ana", Established.SIGN_IN_LINK)
HOUR = timedelta(hours=1)


def a_session(digest: str, hours: int) -> Session:
    """One that begins so many hours after the start, and lasts one."""
    since = START + hours * HOUR
    return Session(
        digest=digest,
        token_digest=f"token {digest}",
        who=ANA,
        assurance=Assurance.SESSION,
        authenticated_at=since - HOUR,
        since=since,
        until=since + HOUR,
    )


async def test_sessions_are_told_the_oldest_first_and_shutting_out_removes_them_and_every_link(store: Store) -> None:
    first, second = a_session("b", 0), a_session("a", 1)

    def enter(tx: Transaction) -> None:
        tx.sessions.add(second)
        tx.sessions.add(first)
        tx.sessions.add_link("c", ANA, START + HOUR)

    await store.write(enter)
    assert await store.read(lambda view: view.sessions.all()) == [first, second]
    assert await store.write(lambda tx: tx.sessions.shut_out()) == ([first, second], 1)
    assert await store.read(
        lambda view: (view.sessions.all(), view.sessions.get("a"), view.sessions.has_link("c"))
    ) == ([], None, False)
    assert await store.write(lambda tx: tx.sessions.shut_out()) == ([], 0)


@pytest.mark.parametrize("assurance", Assurance)
async def test_a_session_keeps_its_assurance_and_when_the_person_authenticated(
    store: Store, assurance: Assurance
) -> None:
    session = replace(a_session("a", 0), assurance=assurance, authenticated_at=START - 3 * HOUR)
    await store.write(lambda tx: tx.sessions.add(session))
    assert await store.read(lambda view: view.sessions.get("a")) == session
