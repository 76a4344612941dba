"""Page or form: what a client is sent, by what it declares, what the tool needs, and whether there is an inbox."""

from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ElicitRequestURLParams, ElicitResult
from server.pages import ADDRESS, WITH_PAGES, call_for, opens_only_pages, page
from server.rig import GUARD_SECONDS, INBOX, OLDER, Rig, a_rig, refused, valid
from wires import AGREE, DECLINE, PROTOCOLS, Person, accept, connect, content, text

from mcp_hitl.domain.approvals.approval import Status

pytestmark = pytest.mark.anyio

every_protocol = pytest.mark.parametrize("protocol", WITH_PAGES)
OLD = OLDER[-1]
UNVISITED = "The person did not go to its page; nothing was decided."


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_without_an_inbox_the_form_is_shown(rig: Rig, protocol: str) -> None:
    person = Person(accept(decision="approve"), AGREE)
    async with connect(rig.server.mcp, protocol, person=person) as client:
        result = await client.call_tool("approve", {"id": (await rig.opened()).id})
    assert (content(result)["status"], content(result)["url"]) == ("approved", None)
    assert (len(person.shown), person.sent) == (1, [])


async def test_the_oldest_revision_has_no_pages_and_shows_the_form(paged: Rig) -> None:
    person = Person(accept(decision="approve"), AGREE)
    async with connect(paged.server.mcp, OLDER[0], person=person) as client:
        result = await client.call_tool("approve", {"id": (await paged.opened()).id})
    assert content(result)["status"] == "approved"
    assert (len(person.shown), person.sent) == (1, [])


@every_protocol
async def test_an_edit_and_the_counter_stay_with_forms(paged: Rig, protocol: str) -> None:
    person = Person(accept(amount=5), AGREE)
    async with connect(paged.server.mcp, protocol, person=person) as client:
        counted = await client.call_tool("increase-counter", {"confirm": True})
        person.answer = accept(decision="approve")
        edited = await client.call_tool(*call_for("edit-approval", await paged.opened()))
    assert content(counted)["counter"] == 5
    assert content(edited)["revision"] == 2
    assert (len(person.shown), person.sent) == (2, [])


@every_protocol
async def test_a_client_that_only_opens_pages_needs_an_inbox_to_decide(
    rig: Rig, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens_only_pages(monkeypatch)
    approval = await rig.opened()
    person = Person(DECLINE, AGREE)
    async with connect(rig.server.mcp, protocol, person=person) as client:
        for tool in ("approve", "reject"):
            told = await refused(client, *call_for(tool, approval), "needs_person")
            assert "this client can only open pages for them, and no inbox is running;" in told
            assert INBOX in told and "wait-for-approval" in told
        asked = valid("ask-human", await client.call_tool("ask-human", {"question": "When?"}))
        assert content(asked)["status"] == "pending"
        assert person.sent == []
        rig.desk.inbox.address = ADDRESS
        person.visit = DECLINE
        await client.call_tool("approve", {"id": approval.id})
        assert [sent.url for sent in person.sent] == [page(approval)]
        assert "cannot show them this form" in await refused(
            client, *call_for("edit-approval", approval), "needs_person"
        )
    assert person.shown == []


def _no_pages(_: ElicitRequestURLParams) -> ElicitResult:
    raise MCPError(code=INVALID_PARAMS, message="mode must be form")


async def test_a_client_that_refuses_to_open_pages_shows_the_form(paged: Rig) -> None:
    person = Person(accept(decision="approve"), _no_pages)
    async with connect(paged.server.mcp, OLD, person=person) as client:
        result = valid("approve", await client.call_tool("approve", {"id": (await paged.opened()).id}))
        person.answer = accept(answer="On Monday")
        asked = valid("ask-human", await client.call_tool("ask-human", {"question": "When?"}))
    assert (content(result)["status"], content(asked)["answer"]) == ("approved", {"answer": "On Monday"})
    assert (len(person.sent), len(person.shown)) == (2, 2)


async def test_t40_the_form_after_a_refused_page_ends_with_the_call_too(hasty: Rig) -> None:
    hasty.desk.inbox.address = ADDRESS
    approval = await hasty.opened()

    async def never(_: Any) -> ElicitResult:
        await anyio.sleep_forever()
        raise AssertionError

    async with connect(hasty.server.mcp, OLD, person=Person(never, _no_pages)) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = valid("approve", await client.call_tool("approve", {"id": approval.id}))
    assert text(result).startswith("The person has not decided yet.")
    await hasty.nobody_listens()


SESSION = '[kinds.action]\nassurance = "session"\n'


@every_protocol
async def test_where_a_form_is_not_enough_the_person_is_still_sent_to_the_page(tmp_path: Any, protocol: str) -> None:
    async with a_rig(tmp_path / "hitl.db", policy=SESSION) as rig:
        rig.desk.inbox.address = ADDRESS
        approval = await rig.opened()
        person = Person(accept(decision="approve"), DECLINE)
        async with connect(rig.server.mcp, protocol, person=person) as client:
            result = await client.call_tool("approve", {"id": approval.id})
            assert text(result).startswith(UNVISITED)
            if protocol == OLD:
                person.visit = _no_pages
                told = await refused(client, "approve", {"id": approval.id}, "needs_person")
                assert "the assurance session, which a form here does not give" in told
                assert page(approval) in told
        assert person.shown == []
        assert await rig.status(approval.id) is Status.PENDING
