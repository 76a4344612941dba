"""Whatever is sent, the answer is a result or a clear refusal by the tool's schema, and the server lives on."""

import json
import math
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp_types import CallToolResult, InputRequiredResult
from server.rig import GUARD_SECONDS, MODERN, OLDER, Pipes, Rig, a_rig, pipes, post, reached, refused, valid
from wires import CANCEL, Person, accept, connect, content, text

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.server.tools import TOOLS

pytestmark = pytest.mark.anyio

NOTHING = {"approvals": 0, "decisions": 0, "audit": 0, "counter": "0"}
CANARY = "canary-7f3a"
HUGE = CANARY + "x" * 1_000_000
NOBODYS = "apr_" + "0" * 26
NAMES = {name: list(tool.definition.input_schema["properties"]) for name, tool in TOOLS.items()}
GOOD: dict[str, JsonObject] = {
    "increase-counter": {"confirm": False},
    "submit-expense": {"amount": 1, "description": "x", "currency": "USD", "category": "y", "dedup_key": "z"},
    "request-approval": {"title": "x", "details": {}, "kind": "action", "dedup_key": "z"},
    "ask-human": {"question": "x", "form": {"properties": {"a": {"type": "string"}}}, "dedup_key": "z"},
    "list-pending": {"kind": "x", "limit": 1, "cursor": NOBODYS},
    "get-approval": {"id": NOBODYS},
    "wait-for-approval": {"id": NOBODYS, "timeout_seconds": 0},
    "approve": {"id": NOBODYS, "comment": "x"},
    "reject": {"id": NOBODYS, "reason": "x"},
    "edit-approval": {"id": NOBODYS, "payload": {"a": 1}, "comment": "x"},
    "cancel-approval": {"id": NOBODYS, "reason": "x"},
    "redeem-approval": {"id": NOBODYS, "digest": "sha256:" + "0" * 64},
    "report-outcome": {"id": NOBODYS, "succeeded": True, "note": "x"},
    "audit-trail": {"id": NOBODYS},
}
every_tool = pytest.mark.parametrize("name", list(TOOLS))


@pytest.mark.parametrize("amount", ["1e21", "1e24", "1000000000000000000000001", "9007199254740993"])
async def test_an_amount_that_would_be_rounded_is_refused_and_nothing_is_stored(rig: Rig, amount: str) -> None:
    before = rig.rows()
    async with connect(rig.server.mcp, MODERN) as client:
        expense = {"amount": json.loads(amount), "description": "Lunch"}
        assert "amount" in await refused(client, "submit-expense", expense, "invalid")
    assert rig.rows() == before


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("submit-expense", {"amount": 5, "description": " \t"}),
        ("request-approval", {"title": "  ", "details": {}}),
        ("ask-human", {"question": "\n "}),
    ],
)
async def test_blank_words_are_refused_and_nothing_is_stored(rig: Rig, name: str, arguments: JsonObject) -> None:
    before = rig.rows()
    async with connect(rig.server.mcp, MODERN) as client:
        assert "must not be blank" in await refused(client, name, arguments, "invalid")
    assert rig.rows() == before


def _nested(depth: int) -> Any:
    value: Any = CANARY
    for _ in range(depth):
        value = {"a": [value]}
    return value


def _wrong(good: Any) -> list[Any]:
    """Values that no argument of this type takes."""
    texts: list[Any] = [[CANARY], {CANARY: CANARY}, 7, True] if isinstance(good, str) else []
    numbers: list[Any] = ["7", CANARY, True, [7], math.nan, math.inf, 10**400] if isinstance(good, int) else []
    objects: list[Any] = [CANARY, [{}], 7, json.dumps({})] if isinstance(good, dict) else []
    booleans: list[Any] = ["true", CANARY, 1, 0, [True], {}]
    return booleans if isinstance(good, bool) else [*texts, *numbers, *objects]


@every_tool
async def test_a_wrong_type_in_any_argument_is_refused_without_an_echo(rig: Rig, name: str) -> None:
    person = Person(accept(decision="approve"))
    async with connect(rig.server.mcp, MODERN, person=person) as client:
        for argument, good in GOOD[name].items():
            for wrong in _wrong(good):
                told = await refused(client, name, GOOD[name] | {argument: wrong}, "invalid")
                assert CANARY not in told
                assert argument in told, (argument, wrong, told)
        for missing in TOOLS[name].definition.input_schema["required"]:
            without = {key: value for key, value in GOOD[name].items() if key != missing}
            assert missing in await refused(client, name, without, "invalid")
        told = await refused(client, name, GOOD[name] | {CANARY: 1, "_meta": {}}, "invalid")
        assert CANARY not in told
    assert rig.rows() == NOTHING
    assert person.shown == []


@every_tool
async def test_a_megabyte_nul_and_deep_nesting_are_refused_by_every_tool(rig: Rig, name: str) -> None:
    async with connect(rig.server.mcp, MODERN, person=Person(CANCEL)) as client:
        for argument, good in GOOD[name].items():
            poisons: list[Any] = []
            if isinstance(good, str):
                poisons = [HUGE, f"{CANARY}\0"]
            elif isinstance(good, dict):
                poisons = [{"a": HUGE}, {"a": f"{CANARY}\0"}, {f"{CANARY}\0": 1}, {"a": _nested(50)}]
            for poison in poisons:
                result = valid(name, await client.call_tool(name, GOOD[name] | {argument: poison}))
                if name == "list-pending" and argument == "kind" and not result.is_error:
                    continue  # a kind that nobody has: nothing pending
                assert result.is_error, (argument, str(poison)[:40])
                assert content(result)["code"] in {"invalid", "not_found"}
                assert CANARY not in text(result)
                assert len(text(result)) < 2_000
    assert rig.rows() == NOTHING


@pytest.mark.parametrize("depth", [50, 3_000])
async def test_deep_nesting_over_http_is_refused_and_the_server_lives(rig: Rig, depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    async with reached(rig, "http") as url:
        params = {"name": "request-approval", "arguments": {"title": "x", "details": "DEEP"}}
        reply = await post(url, "tools/call", params, "request-approval", DEEP=deep)
        assert "error" in reply or reply["result"]["structuredContent"]["code"] == "invalid"
        assert "Traceback" not in json.dumps(reply)
        seen = await post(url, "tools/call", {"name": "list-pending", "arguments": {}}, "list-pending")
    assert seen["result"]["structuredContent"]["total"] == 0
    assert rig.rows() == NOTHING


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
    | st.sampled_from([NOBODYS, "expense", "counter", "question", "USD", CANARY]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def _calls(draw: st.DrawFn) -> tuple[str, JsonObject]:
    """A tool, with some of its arguments right, some wrong, and sometimes one that it does not take."""
    name = draw(st.sampled_from(list(TOOLS)))
    arguments: JsonObject = {}
    for argument in NAMES[name]:
        match draw(st.integers(0, 5)):
            case 0:
                continue
            case 1 | 2:
                arguments[argument] = draw(_json)
            case _:
                arguments[argument] = GOOD[name][argument]
    if draw(st.integers(0, 9)) == 0:
        arguments[draw(st.text(max_size=8))] = draw(_json)
    return name, arguments


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(calls=st.lists(_calls(), min_size=8, max_size=12))
def test_any_arguments_give_a_success_by_schema_or_a_refusal_that_stores_nothing(
    tmp_path: Path, calls: list[tuple[str, JsonObject]]
) -> None:
    async def main() -> None:
        async with a_rig(tmp_path / "hitl.db") as rig:
            person = Person(accept(decision="approve"))
            async with connect(rig.server.mcp, MODERN, person=person) as client:
                for name, arguments in calls:
                    await _check(rig, client, name, arguments)

    anyio.run(main)


async def _check(rig: Rig, client: Client, name: str, arguments: JsonObject) -> None:
    before = rig.rows()
    with anyio.fail_after(GUARD_SECONDS):
        result = await client.session.call_tool(name, arguments, allow_input_required=True)
    if isinstance(result, InputRequiredResult):
        return
    assert isinstance(result, CallToolResult)
    valid(name, result)
    assert "Traceback" not in text(result)
    if result.is_error:
        assert content(result)["code"] in {"invalid", "not_found", "conflict", "already_resolved"}
        assert rig.rows() == before
        if content(result)["code"] == "invalid":
            assert CANARY not in text(result)


async def _still_answers(client: Pipes) -> None:
    assert (await client.call("list-pending"))["structuredContent"]["total"] == 0


def _raw(arguments: str, name: str = "request-approval") -> bytes:
    params = f'{{"name":"{name}","arguments":{arguments}}}'
    return f'{{"jsonrpc":"2.0","id":4711,"method":"tools/call","params":{params}}}'.encode()


DEEP = '{"title":"x","details":' + '{"a":' * 3_000 + "1" + "}" * 3_001
POISON: dict[str, bytes] = {
    "a lone surrogate": _raw('{"title":"\\ud800","details":{"a":"\\udfff"}}'),
    "bytes that are no UTF-8": _raw("{}", name="\xff").replace(b"\xc3\xbf", b"\xff\xfe"),
    "3,000 levels of nesting": _raw(DEEP),
    "garbage": b"\x00\x01\x02 not json at all",
    "an empty line": b"",
    "half a message": _raw("{}")[:40],
    "a list": b"[]",
    "a number": b"7",
    "no method": b'{"jsonrpc":"2.0","id":4711}',
    "a wrong version": b'{"jsonrpc":"1.0","id":4711,"method":"ping"}',
    "an unknown method": b'{"jsonrpc":"2.0","id":4711,"method":"approvals/approve"}',
    "arguments that are a list": _raw("[]"),
    "an answer to nothing": b'{"jsonrpc":"2.0","id":99,"result":{"action":"accept","content":{}}}',
    "nine megabytes": _raw('{"title":"x","details":{"a":"' + "y" * 9_000_000 + '"}}'),
    "two megabytes": _raw('{"title":"x","details":{"a":"' + "y" * 2_000_000 + '"}}'),
}


@pytest.mark.parametrize("protocol", OLDER)
async def test_on_stdio_no_line_keeps_the_next_request_from_its_answer(rig: Rig, protocol: str) -> None:
    async with pipes(rig.database) as client:
        await client.shake_hands(protocol)
        for what, line in POISON.items():
            await client.write(line)
            try:
                await _still_answers(client)
            except (TimeoutError, anyio.EndOfStream):
                pytest.fail(f"no answer after {what}")
    assert "Traceback" not in json.dumps(client.seen)
    for reply in client.seen:
        assert reply.get("id") != 4711 or "error" in reply or reply["result"]["isError"]
    assert rig.rows() == NOTHING


async def test_on_stdio_nan_is_refused_and_the_last_of_equal_keys_is_what_is_digested(rig: Rig) -> None:
    async with pipes(rig.database) as client:
        await client.shake_hands()
        for number in ("NaN", "Infinity", "-Infinity", "1e999", "9007199254740992"):
            await client.write(_raw('{"title":"x","details":{"a":' + number + "}}"))
            reply = await client.result(4711)
            assert "error" in reply or reply["result"]["structuredContent"]["code"] == "invalid", number
            assert rig.rows() == NOTHING
        await client.write(_raw('{"title":"x","details":{"a":1,"a":2}}'))
        told = (await client.result(4711))["result"]["structuredContent"]
    assert told["payload"] == {"a": 2}
    assert (await rig.desk.approvals.get(rig.desk_principal, told["id"])).digest == told["digest"]
