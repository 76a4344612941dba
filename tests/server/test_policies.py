"""What a policy file changes on the wire: who can decide how, how much may be asked, what stays secret."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from mcp_types import ReadResourceResult, TextResourceContents
from server.rig import GUARD_SECONDS, INBOX, MODERN, Rig, a_rig, refused, valid
from warm import warm
from wires import PROTOCOLS, Person, accept, connect, content, text, unmeasured

from mcp_hitl.config.policy_file import parse
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
TEAM = """
profile = "team"
[people]
finance = ["ana@example.com"]
[kinds.expense]
stages = [{ approvers = ["group:finance"] }]
"""
SOLO_BUT_SESSION = """
[kinds.expense]
assurance = "session"
"""
LIMITS = """
[kinds.action]
limits = { open_per_requester = 3, per_minute = 5, payload_bytes = 200 }
"""
SECRETS = """
[kinds.grant]
title = "Grant access to {who}"
schema = { type = "object", required = ["who", "token"], properties = { who = { type = "string" }, token = { type = "string", writeOnly = true } } }
"""  # noqa: E501
OS_USER = """
[kinds.expense]
stages = [{ approvers = ["os:ana"] }]
"""
EXPENSE: JsonObject = {"amount": 5, "description": "Taxi", "currency": "USD"}
CANARY = "canary-31f0"
Under = Callable[[str], AbstractAsyncContextManager[Rig]]


@pytest.fixture
async def under(tmp_path: Path) -> AsyncGenerator[Under]:
    """A rig under the policy of a text."""
    yield lambda policy: a_rig(tmp_path / "hitl.db", policy=policy)


@every_protocol
@pytest.mark.parametrize("policy", [TEAM, SOLO_BUT_SESSION], ids=["team", "session"])
async def test_t16_t18_where_a_policy_asks_for_more_no_form_is_shown_and_the_reason_is_clear(
    under: Under, protocol: str, policy: str
) -> None:
    async with under(policy) as rig:
        person = Person(accept(decision="approve"))  # a client that answers by itself
        async with connect(rig.server.mcp, protocol, person=person) as client:
            asked = content(await client.call_tool("submit-expense", EXPENSE))
            before = rig.rows()
            for name, more in (
                ("approve", {}),
                ("reject", {"reason": "x"}),
                ("edit-approval", {"payload": EXPENSE | {"amount": 6}}),
            ):
                told = await refused(client, name, {"id": asked["id"], **more}, "needs_person")
                assert "this policy requires the assurance session, which a form here does not give" in told
                assert INBOX in told and "wait-for-approval" in told
        assert person.shown == [] and rig.rows() == before
        assert await rig.status(asked["id"]) is Status.PENDING


@every_protocol
async def test_t21_whose_right_is_gone_decides_no_more_and_what_they_approved_is_not_used(
    under: Under, protocol: str
) -> None:
    policy = '[kinds.action]\nstages = [{ approvers = ["os:ana"] }]\n' + OS_USER
    ana = Principal("os:ana", Established.OS_USER)
    async with under(policy) as rig:
        deciding = rig.serving_as(ana)
        person = Person(accept(decision="approve"))
        async with connect(deciding.mcp, protocol, person=person) as client:
            approved = await rig.opened(payload={"approved": "in time"})
            assert content(await client.call_tool("approve", {"id": approved.id}))["status"] == "approved"
            late = await rig.opened(payload={"approved": "too late"})
            rig.desk.rulebook = parse(policy.replace("os:ana", "os:bo")).rulebook  # as after a restart
            told = await refused(client, "approve", {"id": late.id}, "not_allowed")
            assert "You can't decide" in told
        async with connect(rig.server.mcp, protocol) as requester:
            arguments = {"id": approved.id, "digest": approved.digest}
            told = await refused(requester, "redeem-approval", arguments, "not_allowed")
            assert "approved by os:ana, whose right was withdrawn since" in told
        assert await rig.status(late.id) is Status.PENDING


@every_protocol
async def test_t37_a_flood_is_answered_with_too_many_and_the_desk_lives_on(under: Under, protocol: str) -> None:
    async with under(LIMITS) as rig, connect(rig.server.mcp, protocol) as client:

        def ask(number: int) -> tuple[str, JsonObject]:
            return "request-approval", {"title": "Do it", "details": {"number": number}}

        for number in range(3):
            assert not (await client.call_tool(*ask(number))).is_error
        before = rig.rows()
        told = await refused(client, *ask(3), "too_many")
        assert "3 open requests" in told and "Wait until some are decided" in told
        await refused(client, "request-approval", {"title": "x", "details": {"a": "x" * 300}}, "invalid")
        assert rig.rows() == before
        for _ in range(2):
            joined = await client.call_tool(*ask(0))
            assert not joined.is_error
        told = await refused(client, *ask(0), "too_many")
        assert "5 requests a minute" in told
        # Others, and what asks a person nothing, go on.
        assert not (await client.call_tool("submit-expense", EXPENSE)).is_error
        rig.clock.ahead = timedelta(minutes=2)
        assert content(await client.call_tool(*ask(0)))["asked"] == 4


async def test_t37_the_policy_file_that_the_environment_names_counts_on_stdio(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(LIMITS.replace("open_per_requester = 3", "open_per_requester = 1"))
    command, *arguments = warm("--db", str(tmp_path / "hitl.db"))
    server = StdioServerParameters(command=command, args=arguments, env=unmeasured(MCP_HITL_CONFIG=str(policy)))
    async with connect(server, MODERN) as client:
        assert not (await client.call_tool("request-approval", {"title": "x", "details": {"n": 1}})).is_error
        told = await refused(client, "request-approval", {"title": "x", "details": {"n": 2}}, "too_many")
        assert "1 open request" in told


@every_protocol
async def test_t15_while_everything_is_stopped_asking_goes_on_and_nothing_else(rig: Rig, protocol: str) -> None:
    approved = await rig.opened(payload={"approved": "before the stop"})
    await rig.decide(approved.id)
    pending = await rig.opened(payload={"pending": True})
    await rig.elsewhere.stops.pause(rig.desk_principal)
    person = Person(accept(decision="approve"))
    async with connect(rig.server.mcp, protocol, person=person) as client:
        before = rig.rows()
        for name, arguments in (
            ("approve", {"id": pending.id}),
            ("reject", {"id": pending.id, "reason": "x"}),
            ("edit-approval", {"id": pending.id, "payload": {"pending": False}}),
            ("redeem-approval", {"id": approved.id, "digest": approved.digest}),
        ):
            told = await refused(client, name, arguments, "paused")
            assert "mcp-hitl" not in told  # to let it go on is a person's to do
        assert rig.rows() == before
        asked = content(await client.call_tool("request-approval", {"title": "x", "details": {"n": 1}}))
        assert asked["status"] == "pending"
        await rig.elsewhere.stops.resume(rig.desk_principal)
        redeemed = await client.call_tool("redeem-approval", {"id": approved.id, "digest": approved.digest})
        decided = await client.call_tool("approve", {"id": pending.id})
    assert content(redeemed)["outcome"]["state"] == "running"
    assert content(decided)["status"] == "approved"


@every_protocol
async def test_t23_t24_the_form_shows_how_often_it_was_asked_and_how_earlier_requests_ended(
    rig: Rig, protocol: str
) -> None:
    person = Person(accept(decision="reject", comment="Not this \u202eweek"))
    async with connect(rig.server.mcp, protocol, person=person) as client:
        first = content(await client.call_tool("submit-expense", EXPENSE))
        await client.call_tool("reject", {"id": first["id"], "reason": "x"})
        assert "Earlier requests" not in person.shown[0].message
        differently = EXPENSE | {"description": "Taxi, urgent"}
        again = [content(await client.call_tool("submit-expense", differently)) for _ in range(3)]
        await client.call_tool("approve", {"id": again[-1]["id"]})
    message = person.shown[1].message
    assert "Asked by:  an agent on this machine, " in message and "ago, 3 times\n" in message
    earlier = message.partition("by the same requester, and how they ended (1 rejected):")[2]
    [line] = [line for line in earlier.splitlines() if "for Taxi," in line]
    assert line.startswith("    Expense: 5 USD for Taxi, ") and ": rejected: “Not this \\u202eweek”" in line
    assert "\u202e" not in message


@every_protocol
async def test_t36_what_is_write_only_is_in_no_list_and_whoever_decides_sees_it(under: Under, protocol: str) -> None:
    async with under(SECRETS) as rig:
        person = Person(accept(decision="approve"))
        async with connect(rig.server.mcp, protocol, person=person) as client:
            details = {"who": "ana", "token": CANARY}
            arguments = {"title": "Grant it", "kind": "grant", "details": details}
            asked = await client.call_tool("request-approval", arguments)
            listed = valid("list-pending", await client.call_tool("list-pending", {}))
            resource = _text_of(await client.read_resource("approvals://pending"))
            prompt = str(await client.get_prompt("review-pending"))
            trail = await client.call_tool("audit-trail", {"id": content(asked)["id"]})
            edited = {"id": content(asked)["id"], "payload": details | {"who": "bo"}}
            relisted = await client.call_tool("edit-approval", edited)
            listed_again = await client.call_tool("list-pending", {})
        for told in (listed, listed_again, trail):
            assert CANARY not in text(told) and CANARY not in json.dumps(dict(content(told)))
        assert CANARY not in resource and CANARY not in prompt
        assert CANARY not in text(asked) and CANARY not in text(relisted)
        [approval] = content(listed)["approvals"]
        assert approval["payload"] == {"who": "ana", "token": "[redacted]"}
        assert approval["digest"] == content(asked)["digest"]
        assert CANARY in person.shown[0].message
        assert content(asked)["payload"] == details  # its own, as it sent it


@every_protocol
async def test_t36_a_later_look_shows_a_secret_to_no_client_whoever_asked(under: Under, protocol: str) -> None:
    """F1: a client could read what another client, or an earlier session of its own, had asked with a secret."""
    async with under(SECRETS) as rig:
        stranger = rig.serving_as(Principal("os:somebody", Established.OS_USER))
        async with connect(rig.server.mcp, protocol) as client, connect(stranger.mcp, protocol) as other:
            details = {"who": "ana", "token": CANARY}
            asked = content(
                await client.call_tool("request-approval", {"title": "It", "kind": "grant", "details": details})
            )
            one = {"id": asked["id"]}
            told: list[str] = []
            for reader in (client, other):
                for tool, arguments in (("get-approval", one), ("wait-for-approval", one | {"timeout_seconds": 0})):
                    told.append(json.dumps(dict(content(valid(tool, await reader.call_tool(tool, arguments))))))
                told.append(_text_of(await reader.read_resource(f"approvals://{asked['id']}")))
            told.append(json.dumps(dict(content(await client.call_tool("cancel-approval", one)))))
    assert len(told) == 7 and not [text for text in told if CANARY in text or "[redacted]" not in text]


async def test_t36_of_a_kind_that_another_process_defines_everything_may_be_secret(tmp_path: Path) -> None:
    async with a_rig(tmp_path / "hitl.db") as rig:
        store = SqliteStore(rig.database)
        other = Desk(store, effects=EFFECTS, rulebook=parse(SECRETS).rulebook)
        await other.approvals.submit(rig.desk_principal, "grant", {"who": "ana", "token": CANARY})
        await store.close()
        async with connect(rig.server.mcp, MODERN) as client:
            listed = valid("list-pending", await client.call_tool("list-pending", {}))
            resource = _text_of(await client.read_resource("approvals://pending"))
    assert CANARY not in json.dumps(dict(content(listed))) + resource
    assert [approval["payload"] for approval in content(listed)["approvals"]] == [None]


async def test_a_rule_decides_at_once_and_says_that_nobody_was_asked(under: Under) -> None:
    small = '[[kinds.expense.rules]]\nname = "small"\ndecide = "approve"\nmax_per_day = 1\n'
    when = 'when = { properties = { amount = { maximum = 10 } }, required = ["amount"] }\n'
    async with under(small + when) as rig, connect(rig.server.mcp, MODERN) as client:
        passed = valid("submit-expense", await client.call_tool("submit-expense", EXPENSE))
        held = content(await client.call_tool("submit-expense", EXPENSE | {"amount": 6}))
        dear = content(await client.call_tool("submit-expense", EXPENSE | {"amount": 11}))
    [decision] = content(passed)["decisions"]
    assert (content(passed)["status"], decision["assurance"]) == ("approved", "none")
    assert "small" in decision["approver"] and decision["looked_seconds"] is None
    assert (held["status"], dear["status"]) == ("pending", "pending")


@every_protocol
async def test_t18_how_long_a_person_looked_is_told(rig: Rig, protocol: str) -> None:
    approval = await rig.opened()

    def slowly(_: Any) -> Any:
        rig.clock.ahead += timedelta(seconds=40)
        return accept(decision="approve")

    async with connect(rig.server.mcp, protocol, person=Person(slowly)) as client:
        decided = content(await client.call_tool("approve", {"id": approval.id}))
        at_once = await rig.opened(payload={"n": 2})
        quick = Person(accept(decision="approve"))
        async with connect(rig.server.mcp, protocol, person=quick) as other:
            hasty = content(await other.call_tool("approve", {"id": at_once.id}))
    assert 40 <= decided["decisions"][0]["looked_seconds"] < 40 + GUARD_SECONDS
    assert 0 <= hasty["decisions"][0]["looked_seconds"] < GUARD_SECONDS


def _text_of(result: ReadResourceResult) -> str:
    [found] = result.contents
    assert isinstance(found, TextResourceContents)
    return found.text
