"""T36: no secret gets out by an error, a report, a kind that does not mark it, or a type that does not name it."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, SecretStr

from mcp_hitl import Approval, Approvals, Assurance, Established, Flow, Kind, OutcomeState, Principal, Step
from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.engine.runner import load_flows

pytestmark = pytest.mark.anyio

ANA = Principal("os:ana", Established.OS_USER)
PIN = "kryptonite"
LINES = [f"MIIEvQIBADANBgkq{n:03}" for n in range(40)]
VAULT = {"type": "object", "properties": {"pin": {"type": "string", "writeOnly": True}}}

ERRORS: dict[str, tuple[str, Callable[[str], Exception], list[str]]] = {
    "longer than an error": ("\n".join(LINES), lambda key: ValueError(f"bad key {key}"), LINES),
    "one line of it": ("\n".join(LINES), lambda key: ValueError(f"bad line {LINES[7]}"), LINES),
    "where the error is cut": (PIN, lambda pin: ValueError("x" * 282 + pin), [PIN[:4]]),
    "quoted by Python": ("k\"ry\\pto\n'nite", lambda pin: KeyError(pin), ["pto", "nite"]),
    "quoted as JSON": ('kr"yptönite', lambda pin: ValueError(json.dumps({"pin": pin})), ["nite"]),
    "as bytes": ("kryptönite", lambda pin: ValueError(pin.encode()), ["nite"]),
}


async def approve(approvals: Approvals, approval_id: str) -> Approval:
    """Somebody approves; returns what it came to."""
    await approvals.approve(await approvals.get(approval_id, approver=ANA), ANA, assurance=Assurance.LOCAL)
    with anyio.fail_after(20):
        return await approvals.outcome(approval_id)


@pytest.mark.parametrize("where", ERRORS)
async def test_t36_no_part_of_a_secret_is_in_an_error_however_long_or_quoted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    caplog.set_level(logging.DEBUG)
    secret, error, parts = ERRORS[where]
    approvals = Approvals(tmp_path / "hitl.db", name="shop")

    @approvals.gate(title="Read")
    async def read(pin: SecretStr) -> str:
        raise error(pin.get_secret_value())

    async with approvals.running():
        asked = await read(SecretStr(secret))
        ended = await approve(approvals, asked["id"])
    assert ended.outcome.state is OutcomeState.UNKNOWN
    assert [part for part in parts if part in f"{ended.outcome.error} {caplog.text}"] == []


async def test_t36_what_a_flow_reports_and_why_it_fails_name_no_secret_of_any_approval_it_waited_for(
    tmp_path: Path,
) -> None:
    approvals = Approvals(tmp_path / "hitl.db", name="shop")

    class Open(Flow[Any, None]):
        kind = "open"

        async def run(self, value: Any, step: Step) -> None:
            await step.wait_for_approval("people", payload=value)
            vault = await step.wait_for_approval("vault", payload={"pin": SecretStr(PIN)}, kind="vault")
            await step.report("try", f"with {vault.payload['pin']}")
            raise ValueError(f"{vault.payload['pin']} is wrong")

    class Vault(Flow[Any, None]):
        kind = "vault"

    approvals.add(Open, Kind(name="open", schema={"type": "object"}))
    approvals.add(Vault, Kind(name="vault", schema=VAULT))
    async with approvals.running():
        asked = await approvals.request("Open", {"n": 1}, kind="open")
        first = await approvals.get(asked.id)
        await approvals.approve(first, ANA, assurance=Assurance.LOCAL)
        with anyio.fail_after(20):
            while not (waiting := await approvals.desk.search.pending(ANA, kind="vault")).approvals:
                await anyio.lowlevel.checkpoint()
        assert waiting.approvals[0].payload == {"pin": "[redacted]"}
        await approvals.approve(waiting.approvals[0], ANA, assurance=Assurance.LOCAL)
        with anyio.fail_after(20):
            ended = await approvals.outcome(asked.id)
    assert ended.outcome.error == "ValueError: [redacted] is wrong"
    assert [progress.message for progress in ended.progress] == ["with [redacted]"]


async def test_t36_a_flow_cannot_wait_with_a_secret_that_the_kind_does_not_mark(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "hitl.db", name="shop")

    class Open(Flow[Any, None]):
        kind = "open"

        async def run(self, value: Any, step: Step) -> None:
            await step.wait_for_approval("people", payload={"door": [{"pin": SecretStr(PIN)}]})

    approvals.add(Open, Kind(name="open", schema={"type": "object"}))
    async with approvals.running():
        asked = await approvals.request("Open", {"n": 1}, kind="open")
        with anyio.fail_after(20):
            ended = await approvals.wait(asked.id)
    assert ended.reason == "The kind 'open' would show secrets: mark pin with writeOnly = true in its schema."
    assert ended.payload == {"n": 1}


async def test_t36_a_function_that_takes_anything_is_not_called_with_a_secret_that_would_be_shown(
    tmp_path: Path,
) -> None:
    approvals = Approvals(tmp_path / "hitl.db", name="shop")

    @approvals.gate(title="Act")
    async def act(what: dict[str, Any]) -> None:
        raise AssertionError("it must not run")

    async with approvals.running():
        with pytest.raises(Invalid, match="mark pin with writeOnly") as refused:
            await act({"pin": SecretStr(PIN)})
        assert PIN not in str(refused.value)
        assert (await approvals.desk.search.pending(ANA)).total == 0


class Payment(BaseModel):
    """What a function takes."""

    to: str


class Limited(Payment):
    """One with more fields."""

    limit: int


async def test_a_subclass_whose_fields_the_declared_type_lacks_is_refused_at_the_call(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "hitl.db", name="shop")

    @approvals.gate(title="Pay")
    async def pay(what: Payment, others: list[Payment] | None = None) -> None:
        raise AssertionError("it must not run")

    async with approvals.running():
        for call in (
            lambda: pay(Limited(to="bo", limit=5)),
            lambda: pay(Payment(to="bo"), [Payment(to="cy"), Limited(to="di", limit=5)]),
        ):
            with pytest.raises(Invalid, match="Declare the type as Limited"):
                await call()
        assert (await pay(Payment(to="bo")))["payload"]["what"] == {"to": "bo"}


@pytest.mark.parametrize("declared", [Payment, Limited])
async def test_a_step_keeps_every_field_of_its_result_or_fails(tmp_path: Path, declared: type[Payment]) -> None:
    approvals, got = Approvals(tmp_path / "hitl.db", name="shop"), list[Any]()

    async def pay() -> Payment:
        return Limited(to="bo", limit=5)

    pay.__annotations__["return"] = declared

    class Pay(Flow[Any, None]):
        kind = "pay"

        async def run(self, value: Any, step: Step) -> None:
            got.append(await step.do("pay", pay, retries=0))

    approvals.add(Pay, Kind(name="pay", schema={"type": "object"}))
    async with approvals.running():
        asked = await approvals.request("Pay", {"n": 1}, kind="pay")
        with anyio.fail_after(20):
            ended = await approvals.wait(asked.id)
            while ended.reason is None and not got:
                ended = await approvals.get(asked.id)
                await anyio.lowlevel.checkpoint()
    if declared is Limited:
        assert got == [Limited(to="bo", limit=5)]
    else:
        assert not got and "Declare the type as Limited" in (ended.reason or "")


@pytest.mark.parametrize("mark", [1, "true"])
def test_t36_a_mark_that_is_neither_true_nor_false_is_refused(tmp_path: Path, mark: object) -> None:
    class Vault(Flow[Any, None]):
        kind = "vault"

    schema = {"type": "object", "properties": {"pin": {"type": "string", "writeOnly": mark}}}
    with pytest.raises(Invalid, match=r"schema\.properties\.pin\.writeOnly: must be true or false"):
        Approvals(tmp_path / "hitl.db").add(Vault, Kind(name="vault", schema=schema))


class Login(BaseModel):
    """What a flow of a policy file takes."""

    pin: SecretStr


class LogIn(Flow[Login, None]):
    """A flow that only a policy file names."""

    kind = "log-in"

    async def run(self, value: Login, step: Step) -> None: ...


@pytest.mark.parametrize("marked", [False, True])
def test_t36_a_kind_of_a_policy_file_that_would_show_what_its_flow_takes_as_a_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    monkeypatch.setitem(sys.modules, "flows_of_the_policy", sys.modules[__name__])
    mark = ", writeOnly = true" if marked else ""
    rulebook = parse(
        f'[kinds.log-in]\nschema = {{ properties = {{ pin = {{ type = "string"{mark} }} }} }}\n'
        'flow = "flows_of_the_policy:LogIn"\n'
    ).rulebook
    if marked:
        assert load_flows(rulebook, {})["log-in"] is LogIn
    else:
        with pytest.raises(Invalid, match="mark pin with writeOnly"):
            load_flows(rulebook, {})
