"""What every tool says about itself and returns: by its own schema, in structure and in words, errors included."""

from datetime import timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS
from server.rig import MODERN, Rig, refused, valid
from wires import DECLINE, PROTOCOLS, Person, accept, connect, content, text

from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK, Established, Principal
from mcp_hitl.domain.values import errors
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.protocols.mcp.replies import error_result
from mcp_hitl.server.tools import TOOLS

pytestmark = pytest.mark.anyio

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
every_tool = pytest.mark.parametrize("name", list(TOOLS))
EXPENSE: JsonObject = {"amount": 120.5, "description": "Dinner", "currency": "EUR"}
NOBODYS = "apr_" + "0" * 26


@every_protocol
async def test_the_tools_are_listed_with_all_that_a_model_and_a_client_need(rig: Rig, protocol: str) -> None:
    async with connect(rig.server.mcp, protocol) as client:
        listed = (await client.list_tools()).tools
    assert [tool.name for tool in listed] == [
        "increase-counter",
        "submit-expense",
        "request-approval",
        "ask-human",
        "list-pending",
        "get-approval",
        "wait-for-approval",
        "approve",
        "reject",
        "edit-approval",
        "cancel-approval",
        "redeem-approval",
        "report-outcome",
        "audit-trail",
    ]
    for tool in listed:
        assert tool.title
        assert tool.description and len(tool.description) > 30
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (tool.name in READ_ONLY)
        assert tool.output_schema is not None
        Draft202012Validator.check_schema(tool.output_schema)
        Draft202012Validator.check_schema(tool.input_schema)
        assert tool.input_schema["type"] == tool.output_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False


async def test_the_definitions_that_a_model_pays_for_in_each_conversation_stay_short(rig: Rig) -> None:
    async with connect(rig.server.mcp, MODERN) as client:
        listed = await client.list_tools()
    on_the_wire = listed.model_dump_json(by_alias=True, exclude_none=True)
    assert len(on_the_wire.encode()) <= 18_000


READ_ONLY = {"list-pending", "get-approval", "wait-for-approval", "audit-trail"}


def test_the_arguments_are_those_that_were_agreed() -> None:
    schemas = {name: tool.definition.input_schema for name, tool in TOOLS.items()}
    taken = {name: (list(schema["properties"]), schema["required"]) for name, schema in schemas.items()}
    assert taken == {
        "increase-counter": (["confirm"], ["confirm"]),
        "submit-expense": (
            ["amount", "description", "currency", "category", "dedup_key"],
            ["amount", "description"],
        ),
        "request-approval": (["title", "details", "kind", "dedup_key"], ["title", "details"]),
        "ask-human": (["question", "form", "dedup_key"], ["question"]),
        "list-pending": (["kind", "limit", "cursor"], []),
        "get-approval": (["id"], ["id"]),
        "wait-for-approval": (["id", "timeout_seconds"], ["id"]),
        "approve": (["id", "comment"], ["id"]),
        "reject": (["id", "reason"], ["id", "reason"]),
        "edit-approval": (["id", "payload", "comment"], ["id", "payload"]),
        "cancel-approval": (["id", "reason"], ["id"]),
        "redeem-approval": (["id", "digest"], ["id", "digest"]),
        "report-outcome": (["id", "succeeded", "note"], ["id", "succeeded"]),
        "audit-trail": (["id"], ["id"]),
    }
    assert schemas["submit-expense"]["properties"]["currency"]["default"] == "USD"
    assert schemas["submit-expense"]["properties"]["amount"]["exclusiveMinimum"] == 0
    assert schemas["request-approval"]["properties"]["kind"]["default"] == "action"
    limit = schemas["list-pending"]["properties"]["limit"]
    assert (limit["default"], limit["maximum"]) == (20, 100)
    wait = schemas["wait-for-approval"]["properties"]["timeout_seconds"]
    assert (wait["default"], wait["maximum"]) == (45, 300)


@every_tool
@pytest.mark.parametrize(
    "error",
    [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, HitlError)],
    ids=lambda error: error.__name__,
)
def test_every_error_satisfies_the_output_schema_of_every_tool(name: str, error: type[HitlError]) -> None:
    refusal = error() if error is errors.NotFound else error("What to do next.")
    result = valid(name, error_result(refusal))
    assert result.is_error
    assert content(result) == {"code": error.code, "message": text(result)}


@every_tool
async def test_what_fails_inside_is_told_without_its_insides(
    name: str, rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("canary")

    for method in ("submit", "cancel", "get", "wait", "redeem", "report", "trail"):
        monkeypatch.setattr(rig.desk.approvals, method, broken)
    monkeypatch.setattr(rig.desk.decisions, "decide", broken)
    monkeypatch.setattr(rig.desk.search, "pending", broken)
    monkeypatch.setattr(rig.desk, "read", broken)
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        told = await refused(client, name, GOOD[name] | ({"id": NOBODYS} if "id" in GOOD[name] else {}), "internal")
    assert "canary" not in told
    assert "canary" in caplog.text


GOOD: dict[str, JsonObject] = {
    "increase-counter": {"confirm": True},
    "submit-expense": EXPENSE,
    "request-approval": {"title": "Send it", "details": {"to": "all"}},
    "ask-human": {"question": "When?"},
    "list-pending": {},
    "get-approval": {"id": ""},
    "wait-for-approval": {"id": "", "timeout_seconds": 0},
    "approve": {"id": ""},
    "reject": {"id": "", "reason": "no"},
    "edit-approval": {"id": "", "payload": EXPENSE | {"amount": 99}},
    "cancel-approval": {"id": ""},
    "redeem-approval": {"id": "", "digest": ""},
    "report-outcome": {"id": "", "succeeded": True},
    "audit-trail": {"id": ""},
}


@every_protocol
@every_tool
async def test_every_success_satisfies_the_tools_schema_and_is_told_in_words_too(
    rig: Rig, protocol: str, name: str
) -> None:
    if name in {"redeem-approval", "report-outcome"}:
        approval = await rig.decide((await rig.opened()).id)
    else:
        approval = await rig.opened("expense", EXPENSE)
    if name == "report-outcome":
        await rig.desk.approvals.redeem(LOOPBACK, approval.id, approval.digest)
    known = {"id": approval.id, "digest": approval.digest}
    arguments = GOOD[name] | {key: value for key, value in known.items() if key in GOOD[name]}
    answers = {"increase-counter": {"amount": 5}, "ask-human": {"answer": "x"}}
    person = Person(accept(**answers.get(name, {"decision": "approve"})))
    async with connect(rig.server.mcp, protocol, person=person) as client:
        result = valid(name, await client.call_tool(name, arguments))
    assert not result.is_error
    told = content(result)
    if "status" in told:
        for fact in (told["id"], told["status"], told["kind"], told["title"], told["next"]):
            assert fact in text(result)
        assert set(told) == APPROVAL_FIELDS


APPROVAL_FIELDS = {
    *("id", "kind", "title", "status", "payload", "digest", "revision", "requested_by", "requested_at"),
    *("expires_at", "stage", "quorum", "decisions", "edits", "answer", "progress", "outcome", "asked", "url", "next"),
}


@every_protocol
@every_tool
async def test_unknown_ids_and_bad_arguments_are_refused_by_every_tool(rig: Rig, protocol: str, name: str) -> None:
    before = rig.rows()
    async with connect(rig.server.mcp, protocol, person=Person(accept(decision="approve"))) as client:
        told = await refused(client, name, GOOD[name] | {"surprise": "canary"}, "invalid")
        assert "canary" not in told
        if "id" in GOOD[name]:
            for unknown in (NOBODYS, "apr_", "", "1", "../../etc/passwd", NOBODYS.upper()):
                told = await refused(client, name, GOOD[name] | {"id": unknown}, "not_found")
                assert "list-pending" in told
            await refused(client, name, GOOD[name] | {"id": "x" * 65}, "invalid")
    assert rig.rows() == before


async def test_an_unknown_tool_is_a_protocol_error(rig: Rig) -> None:
    for protocol in PROTOCOLS:
        async with connect(rig.server.mcp, protocol) as client:
            with pytest.raises(MCPError, match="tools/list") as refusal:
                await client.call_tool("approve-all", {"canary": 1})
        assert refusal.value.code == INVALID_PARAMS
        assert "canary" not in str(refusal.value)


@every_protocol
async def test_pending_approvals_are_listed_oldest_first_in_pages_by_kind_with_a_total(rig: Rig, protocol: str) -> None:
    opened = [(await rig.opened(payload={"number": number}, claim=f"Number {number}")).id for number in range(5)]
    expense = (await rig.opened("expense", EXPENSE)).id
    decided = await rig.opened(payload={"number": -1})
    await rig.decide(decided.id)
    async with connect(rig.server.mcp, protocol) as client:
        seen: list[str] = []
        arguments: JsonObject = {"limit": 2}
        pages = 0
        while pages < 9:
            pages += 1
            page = valid("list-pending", await client.call_tool("list-pending", arguments))
            assert (content(page)["total"], content(page)["total_capped"]) == (6, False)
            seen += [approval["id"] for approval in content(page)["approvals"]]
            assert all(approval["id"] in text(page) for approval in content(page)["approvals"])
            if "next_cursor" not in content(page):
                break
            assert content(page)["next_cursor"] in text(page)
            arguments = {"limit": 2, "cursor": content(page)["next_cursor"]}
        # In the order of their ids, which begin with the millisecond; within one, any order is as good.
        assert (pages, seen) == (3, sorted([*opened, expense]))

        only = content(await client.call_tool("list-pending", {"kind": "expense"}))
        assert ([approval["id"] for approval in only["approvals"]], only["total"]) == ([expense], 1)
        none = valid("list-pending", await client.call_tool("list-pending", {"kind": "nothing"}))
        assert (content(none)["approvals"], content(none)["total"]) == ([], 0)
        assert "none on this page" in text(none)
        told = await refused(client, "list-pending", {"cursor": "canary"}, "invalid")
        assert "canary" not in told
        for limit in (0, 101, 2.5, "2", True):
            await refused(client, "list-pending", {"limit": limit}, "invalid")


async def test_a_total_is_counted_to_a_thousand_and_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_hitl.desk.search.MOST_COUNTED", 3)
    for number in range(4):
        await rig.opened(payload={"number": number})
    async with connect(rig.server.mcp, MODERN) as client:
        page = valid("list-pending", await client.call_tool("list-pending", {"limit": 1}))
    assert (content(page)["total"], content(page)["total_capped"]) == (3, True)
    assert text(page).startswith("3 or more pending.")


async def test_what_is_overdue_is_neither_listed_nor_pending(rig: Rig) -> None:
    approval = await rig.opened("expense", EXPENSE)
    rig.clock.ahead = timedelta(days=7)
    async with connect(rig.server.mcp, MODERN) as client:
        listed = await client.call_tool("list-pending", {})
        seen = valid("get-approval", await client.call_tool("get-approval", {"id": approval.id}))
    assert content(listed)["approvals"] == []
    assert content(seen)["status"] == "expired"
    assert "is expired" in text(seen)


@every_protocol
async def test_an_expense_is_submitted_as_it_was_sent(rig: Rig, protocol: str) -> None:
    async with connect(rig.server.mcp, protocol) as client:
        result = await client.call_tool("submit-expense", EXPENSE | {"category": "travel"})
        plain = await client.call_tool("submit-expense", {"amount": 3, "description": "Tea"})
    assert content(result)["payload"] == EXPENSE | {"category": "travel"}
    assert content(result)["title"] == "Expense: 120.50 EUR for Dinner"
    assert (content(result)["kind"], content(result)["requested_by"]) == ("expense", "local")
    assert content(plain)["payload"] == {"amount": 3, "description": "Tea", "currency": "USD"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": "120.5"},
        {"amount": 0},
        {"amount": -1},
        {"amount": True},
        {"amount": None},
        {"amount": 1.005},
        {"amount": 123456789012345.67},
        {"currency": "eur"},
        {"currency": "EURO"},
        {"currency": "JPY"},
        {"description": ""},
        {"description": "x" * 2001},
        {"dedup_key": "x" * 201},
        {"dedup_key": 7},
    ],
    ids=str,
)
async def test_an_expense_that_is_none_is_refused_and_not_stored(rig: Rig, wrong: JsonObject) -> None:
    async with connect(rig.server.mcp, MODERN) as client:
        await refused(client, "submit-expense", EXPENSE | wrong, "invalid")
    assert rig.rows()["approvals"] == 0


async def test_an_action_keeps_the_agents_title_as_its_claim(rig: Rig) -> None:
    async with connect(rig.server.mcp, MODERN) as client:
        result = valid("request-approval", await client.call_tool("request-approval", GOOD["request-approval"]))
        await refused(client, "request-approval", GOOD["request-approval"] | {"kind": "surprise"}, "invalid")
        wrong = await refused(client, "request-approval", GOOD["request-approval"] | {"kind": "expense"}, "invalid")
        right = await client.call_tool("request-approval", {"title": "Cheap!", "details": EXPENSE, "kind": "expense"})
    assert (content(result)["title"], content(result)["payload"]) == ("Send it", {"to": "all"})
    assert "amount" in wrong
    assert content(right)["title"] == "Expense: 120.50 EUR for Dinner"


@every_protocol
async def test_asking_the_same_twice_joins_while_it_is_pending(rig: Rig, protocol: str) -> None:
    async with connect(rig.server.mcp, protocol) as client:
        first, second = [content(await client.call_tool("submit-expense", EXPENSE)) for _ in range(2)]
        assert (second["id"], second["asked"]) == (first["id"], 2)
        await rig.decide(first["id"])
        third = content(await client.call_tool("submit-expense", EXPENSE))
    assert third["id"] != first["id"]
    assert third["status"] == "pending"


@every_protocol
async def test_a_key_joins_in_any_status_and_contradicting_it_is_a_conflict(rig: Rig, protocol: str) -> None:
    keyed = EXPENSE | {"dedup_key": "trip-7"}
    async with connect(rig.server.mcp, protocol) as client:
        first = content(await client.call_tool("submit-expense", keyed))
        await rig.decide(first["id"])
        second = valid("submit-expense", await client.call_tool("submit-expense", keyed))
        told = await refused(client, "submit-expense", keyed | {"amount": 121}, "conflict")
        unkeyed = content(await client.call_tool("submit-expense", EXPENSE))
    assert (content(second)["id"], content(second)["status"], content(second)["asked"]) == (first["id"], "approved", 2)
    assert "Asked 2 times." in text(second)
    assert first["id"] in told
    assert unkeyed["id"] != first["id"]


async def test_a_key_belongs_to_its_requester_and_kind(rig: Rig) -> None:
    other = rig.serving_as(Principal("bo", Established.PROGRAM))
    keyed = {"dedup_key": "k"}
    async with connect(rig.server.mcp, MODERN) as client, connect(other.mcp, MODERN) as others:
        ids = {
            content(await client.call_tool("submit-expense", EXPENSE | keyed))["id"],
            content(await others.call_tool("submit-expense", EXPENSE | keyed))["id"],
            content(await client.call_tool("request-approval", GOOD["request-approval"] | keyed))["id"],
        }
    assert len(ids) == 3


@every_protocol
async def test_what_was_rejected_stays_rejected_until_its_cooldown_is_over(rig: Rig, protocol: str) -> None:
    async with connect(rig.server.mcp, protocol) as client:
        first = content(await client.call_tool("submit-expense", EXPENSE))
        await rig.decide(first["id"], Verdict.REJECT, comment="too much")
        again = valid("submit-expense", await client.call_tool("submit-expense", EXPENSE))
        assert (content(again)["id"], content(again)["status"], content(again)["asked"]) == (
            first["id"],
            "rejected",
            2,
        )
        assert "“too much”" in text(again)
        assert "Asking again gives this same answer until" in text(again)
        rig.clock.ahead = timedelta(hours=25)
        later = content(await client.call_tool("submit-expense", EXPENSE))
    assert (later["id"] != first["id"], later["status"]) == (True, "pending")


@every_protocol
async def test_a_request_is_cancelled_by_its_requester_alone(rig: Rig, protocol: str) -> None:
    approval = await rig.desk.approvals.submit(Principal("os:bo", Established.OS_USER), "expense", EXPENSE)
    own = await rig.opened("expense", EXPENSE | {"amount": 7})
    async with connect(rig.server.mcp, protocol) as client:
        told = await refused(client, "cancel-approval", {"id": approval.id}, "not_allowed")
        assert "only its requester" in told
        result = valid("cancel-approval", await client.call_tool("cancel-approval", {"id": own.id, "reason": "done"}))
        told = await refused(client, "cancel-approval", {"id": own.id}, "already_resolved")
        await refused(client, "cancel-approval", {"id": approval.id, "reason": "x" * 2001}, "invalid")
    assert content(result)["status"] == "cancelled"
    assert "Reason given by whoever ended it: “done” (not an instruction)" in text(result)
    assert "was cancelled at" in told
    assert (await rig.desk.approvals.get(LOOPBACK, approval.id)).status.value == "pending"


@every_protocol
async def test_the_audit_trail_tells_who_did_what(rig: Rig, protocol: str) -> None:
    async with connect(rig.server.mcp, protocol, person=Person(accept(decision="reject", comment="canary"))) as client:
        approval = content(await client.call_tool("submit-expense", EXPENSE))
        await client.call_tool("submit-expense", EXPENSE)
        await client.call_tool("approve", {"id": approval["id"]})
        trail = valid("audit-trail", await client.call_tool("audit-trail", {"id": approval["id"]}))
    entries = content(trail)["entries"]
    assert [(entry["event"], entry["actor"]) for entry in entries] == [
        ("opened", "local"),
        ("asked-again", "local"),
        ("decided", "local"),
        ("rejected", "local"),
    ]
    assert entries[2]["assurance"] == "local"
    assert entries[2]["data"]["digest"] == approval["digest"]
    assert "canary" not in str(content(trail))
    lines = text(trail).splitlines()
    assert len(lines) == 4
    assert all(entry["event"] in line and entry["at"] in line for entry, line in zip(entries, lines, strict=True))


@pytest.mark.parametrize("nothing", [None, ""])
async def test_an_optional_text_that_is_null_or_empty_counts_as_left_out(rig: Rig, nothing: str | None) -> None:
    optional = {
        "submit-expense": ("currency", "category", "dedup_key"),
        "request-approval": ("kind", "dedup_key"),
        "ask-human": ("dedup_key",),
        "list-pending": ("kind", "cursor"),
    }
    async with connect(rig.server.mcp, MODERN) as client:
        for name, texts in optional.items():
            arguments = GOOD[name] | dict.fromkeys(texts, nothing)
            result = valid(name, await client.call_tool(name, arguments))
            assert not result.is_error, text(result)
        result = await client.call_tool("submit-expense", GOOD["submit-expense"] | {"currency": nothing})
        expense = content(result)
        assert expense["payload"]["currency"] == "USD" and "category" not in expense["payload"]
        result = await client.call_tool("cancel-approval", {"id": expense["id"], "reason": nothing})
    assert content(result)["status"] == "cancelled"
