"""T36: what a function or a flow takes as a secret is stored whole, shown to whoever decides, and to nobody else."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from pydantic import BaseModel, Field, PlainSerializer, PrivateAttr, SecretBytes, SecretStr

from mcp_hitl import Approvals, Assurance, Established, Flow, Kind, OutcomeState, Principal, Step
from mcp_hitl.domain.values.errors import Invalid

pytestmark = pytest.mark.anyio

ANA = Principal("os:ana", Established.OS_USER)
PIN, TOKEN = "kryptonite", "unobtainium"


class Login(BaseModel):
    """What a flow takes."""

    user: str
    pin: SecretStr
    token: SecretBytes | None = None


class Excluding(BaseModel):
    """Leaves out a field that the action needs."""

    name: str
    limit: int = Field(default=1, exclude=True)


class Private(BaseModel):
    """Holds something that no JSON has."""

    name: str
    _limit: int = PrivateAttr(default=1)


class Renaming(BaseModel):
    """Writes another name than it reads."""

    limit: int = Field(default=1, validation_alias="in", serialization_alias="out")


def private(limit: int) -> Private:
    held = Private(name="a")
    held._limit = limit  # pyright: ignore[reportPrivateUsage]
    return held


LOSSY: dict[str, Callable[[], Any]] = {
    "an excluded field": lambda: Excluding(name="a", limit=5),
    "a private attribute": lambda: private(5),
    "aliases that differ": lambda: Renaming.model_validate({"in": 5}),
    "one of them in a list": lambda: [Excluding(name="a", limit=5)],
    "one of them in a dict": lambda: {"one": private(5)},
}


async def test_t36_the_function_gets_the_secret_that_it_was_called_with(tmp_path: Path) -> None:
    approvals, got = Approvals(tmp_path / "hitl.db", name="shop"), list[Any]()

    @approvals.gate(title="Log {user} in")
    async def log_in(user: str, pin: SecretStr, token: SecretBytes | None = None) -> str:
        got.append((user, pin.get_secret_value(), token and token.get_secret_value()))
        return "in"

    async with approvals.running():
        shown = await log_in("bo", SecretStr(PIN), SecretBytes(TOKEN.encode()))
        assert PIN not in json.dumps(shown) and TOKEN not in json.dumps(shown), "a model reads this"
        for_ana = await approvals.get(shown["id"], approver=ANA)
        assert for_ana.payload == {"user": "bo", "pin": PIN, "token": TOKEN}
        await approvals.approve(for_ana, ANA, assurance=Assurance.LOCAL)
        with anyio.fail_after(20):
            ended = approvals.shape(await approvals.outcome(shown["id"]))
        assert got == [("bo", PIN, TOKEN.encode())]
        assert ended["outcome"]["state"] == "succeeded"
        assert PIN not in json.dumps(ended) and TOKEN not in json.dumps(ended)


async def test_t36_a_flow_gets_the_secret_that_was_approved_and_a_step_returns_one_whole(tmp_path: Path) -> None:
    approvals, got = Approvals(tmp_path / "hitl.db", name="shop"), list[Any]()

    async def renew(login: Login) -> Login:
        return Login(user=login.user, pin=SecretStr(login.pin.get_secret_value().upper()))

    class LogIn(Flow[Login, None]):
        kind = "log-in"

        async def run(self, value: Login, step: Step) -> None:
            approval = await step.wait_for_approval("people", payload=value)
            renewed = await step.do("renew", renew, Login.model_validate(approval.payload))
            got.append((approval.payload["pin"], renewed.pin.get_secret_value()))

    pin = {"type": "string", "writeOnly": True}
    schema = {
        "type": "object",
        "properties": {"user": {"type": "string"}, "pin": pin, "token": pin | {"type": ["string", "null"]}},
    }
    approvals.add(LogIn, Kind(name="log-in", schema=schema))
    async with approvals.running():
        asked = await approvals.request("Log in", {"user": "bo", "pin": PIN}, kind="log-in")
        await approvals.approve(await approvals.get(asked.id), ANA, assurance=Assurance.LOCAL)
        with anyio.fail_after(20):
            ended = await approvals.outcome(asked.id)
        assert (ended.outcome.state, got) == (OutcomeState.SUCCEEDED, [(PIN, PIN.upper())])


@pytest.mark.parametrize("which", LOSSY)
async def test_what_json_would_lose_of_an_argument_is_refused_at_the_call(tmp_path: Path, which: str) -> None:
    approvals = Approvals(tmp_path / "hitl.db", name="shop")

    @approvals.gate(title="Act")
    async def act(what: Excluding | Private | Renaming | list[Excluding] | dict[str, Private]) -> None:
        raise AssertionError("it must not run")

    async with approvals.running():
        with pytest.raises(Invalid, match="as JSON") as refused:
            await act(LOSSY[which]())
        assert "5" not in str(refused.value)
        assert (await approvals.desk.search.pending(ANA)).total == 0


async def test_what_a_serializer_changes_is_refused_at_the_call(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "hitl.db", name="shop")

    @approvals.gate(title="Pay {cents}")
    async def pay(cents: Annotated[int, PlainSerializer(lambda value: value // 100)]) -> None:
        raise AssertionError("it must not run")

    async with approvals.running():
        with pytest.raises(Invalid, match="as JSON"):
            await pay(250)


@pytest.mark.parametrize("which", LOSSY)
async def test_a_flow_that_waits_with_what_json_would_lose_fails_before_anybody_decides(
    tmp_path: Path, which: str
) -> None:
    approvals = Approvals(tmp_path / "hitl.db", name="shop")

    class Act(Flow[Any, None]):
        kind = "act"

        async def run(self, value: Any, step: Step) -> None:
            await step.wait_for_approval("people", payload={"what": LOSSY[which]()})
            raise AssertionError("it must not go on")

    approvals.add(Act, Kind(name="act", schema={"type": "object"}))
    async with approvals.running():
        asked = await approvals.request("Act", {"n": 1}, kind="act")
        with anyio.fail_after(20):
            ended = await approvals.wait(asked.id)
        assert ended.status.value == "cancelled" and "as JSON" in (ended.reason or "")


class Card(BaseModel):
    """A secret inside a model."""

    pin: SecretStr


def test_t36_a_secret_where_no_mark_takes_effect_is_refused_when_it_is_defined(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "hitl.db", name="shop")

    async def charge(card: Card) -> None: ...
    async def keep(pins: dict[str, SecretStr]) -> None: ...
    async def read(pin: SecretStr) -> None: ...

    with pytest.raises(Invalid, match="writeOnly"):
        approvals.gate(title="Charge")(charge)
    with pytest.raises(Invalid, match="must not be in a title"):
        approvals.gate(title="Read {pin}")(read)
    approvals.gate(title="Keep")(keep)
    assert approvals._kinds["keep"].has_secrets  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("marked", [False, True])
def test_t36_a_kind_that_would_show_a_functions_or_a_flows_secret_is_refused(tmp_path: Path, marked: bool) -> None:
    policy = tmp_path / "policy.toml"
    mark = ", writeOnly = true" if marked else ""
    fields = (
        f'{{ user = {{ type = "string" }}, pin = {{ type = "string"{mark} }}, token = {{ type = "string"{mark} }} }}'
    )
    policy.write_text("".join(f"[kinds.{kind}]\nschema = {{ properties = {fields} }}\n" for kind in ("read", "log-in")))
    approvals = Approvals(tmp_path / "hitl.db", name="shop", policy=policy)

    class LogIn(Flow[Login, None]):
        kind = "log-in"

        async def run(self, value: Login, step: Step) -> None: ...

    async def read(pin: SecretStr) -> None: ...

    for define in (lambda: approvals.add(LogIn), lambda: approvals.gate(title="Read")(read)):
        if marked:
            define()
        else:
            with pytest.raises(Invalid, match=r"mark.*writeOnly"):
                define()


async def test_t36_an_error_of_the_action_and_the_log_repeat_no_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    approvals = Approvals(tmp_path / "hitl.db", name="shop")

    @approvals.gate(title="Read")
    async def read(pin: SecretStr) -> str:
        raise ValueError(f"the pin {pin.get_secret_value()} is wrong")

    async with approvals.running():
        asked = await read(SecretStr(PIN))
        await approvals.approve(await approvals.get(asked["id"]), ANA, assurance=Assurance.LOCAL)
        with anyio.fail_after(20):
            ended = approvals.shape(await approvals.outcome(asked["id"]))
        assert ended["outcome"]["state"] == "unknown"
        assert "the pin [redacted] is wrong" in ended["outcome"]["error"]
        assert PIN not in caplog.text
        exported = list[str]()
        await approvals.desk.evidence.export(exported.append)
        assert PIN not in "".join(exported)
