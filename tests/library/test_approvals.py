"""Approvals from another Python program: open, await, decide, and run flows of its own."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from desk_samples import views
from pydantic import BaseModel, Field, SecretStr, create_model

import mcp_hitl
from mcp_hitl import (
    Approval,
    Approvals,
    Assurance,
    Established,
    Flow,
    HitlError,
    Kind,
    NotApproved,
    OutcomeState,
    Policy,
    Principal,
    Stage,
    Status,
    Step,
    Verdict,
)
from mcp_hitl.domain.values.errors import Conflict, Invalid, NotAllowed, NotFound, Unavailable

pytestmark = pytest.mark.anyio

ANA = Principal("ana@example.com", Established.PROGRAM)
REFUND = {"order": 17, "amount": 40}
POLICY = """
[people]
finance = ["ana@example.com"]

[kinds.action]
stages = [{ approvers = ["group:finance"] }]
assurance = "session"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy under which Ana decides, signed in."""
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def twice(policy: Path) -> Path:
    """A policy under which finance decides in two stages."""
    policy.write_text(POLICY.replace("stages = [", 'stages = [{ approvers = ["group:finance"] }, '))
    return policy


@pytest.fixture
async def approvals(tmp_path: Path, policy: Path) -> AsyncGenerator[Approvals]:
    """A running program."""
    approvals = Approvals(tmp_path / "hitl.db", name="billing", policy=policy)
    async with approvals.running():
        yield approvals


async def test_a_request_is_pending_and_belongs_to_the_program(approvals: Approvals) -> None:
    approval = await approvals.request("Refund order 17", REFUND)
    assert (approval.status, approval.requester, approval.payload) == (Status.PENDING, "billing", REFUND)
    assert await approvals.get(approval.id) == approval
    assert approvals.shape(approval)["title"] == "Refund order 17"


async def test_the_same_key_joins_and_another_payload_under_it_is_refused(approvals: Approvals) -> None:
    first = await approvals.request("Refund order 17", REFUND, dedup_key="17")
    again = await approvals.request("Refund order 17", REFUND, dedup_key="17")
    assert (again.id, again.asked) == (first.id, 2)
    with pytest.raises(Conflict):
        await approvals.request("Refund order 17", REFUND | {"amount": 41}, dedup_key="17")


async def test_what_the_program_has_identified_decides_with_its_own_assurance(approvals: Approvals) -> None:
    approval = await approvals.request("Refund order 17", REFUND)
    decided = await approvals.approve(approval, ANA, assurance=Assurance.STEP_UP, comment="Fine.")
    [decision] = decided.decisions
    assert decided.status is Status.APPROVED
    assert (decision.approver, decision.verdict, decision.assurance) == (ANA.id, Verdict.APPROVE, Assurance.STEP_UP)
    assert (decision.established, decision.comment) == ("program", "Fine.")


async def test_a_rejection_says_why(approvals: Approvals) -> None:
    approval = await approvals.request("Refund order 17", REFUND)
    decided = await approvals.reject(approval, ANA, assurance=Assurance.SESSION, comment="Wrong order.")
    assert (decided.status, decided.decisions[0].comment) == (Status.REJECTED, "Wrong order.")


async def test_too_little_assurance_or_the_wrong_person_changes_nothing(approvals: Approvals) -> None:
    approval = await approvals.request("Refund order 17", REFUND)
    with pytest.raises(NotAllowed, match="requires the assurance session"):
        await approvals.approve(approval, ANA, assurance=Assurance.LOCAL)
    with pytest.raises(NotAllowed, match="You can't decide"):
        await approvals.approve(
            approval, Principal("eve@example.com", Established.PROGRAM), assurance=Assurance.SESSION
        )
    assert (await approvals.get(approval.id)).decisions == ()


async def test_t07_a_decision_counts_for_the_stage_that_was_shown(tmp_path: Path, twice: Path) -> None:
    async with Approvals(tmp_path / "hitl.db", policy=twice).running() as approvals:
        shown = await approvals.request("Refund order 17", REFUND)
        await approvals.approve(shown, ANA, assurance=Assurance.SESSION)
        for decide in (approvals.approve, approvals.reject):
            with pytest.raises(Conflict, match="was in stage 1 and is now in stage 2"):
                await decide(shown, ANA, assurance=Assurance.SESSION, comment="Again")
        now = await approvals.get(shown.id)
        assert (await approvals.approve(now, ANA, assurance=Assurance.SESSION)).status is Status.APPROVED


async def test_t18_how_long_somebody_looked_is_recorded_where_the_program_knows(approvals: Approvals) -> None:
    one, two, three = [await approvals.request("Refund", {"order": order}) for order in range(3)]
    one = await approvals.approve(one, ANA, assurance=Assurance.SESSION, looked=timedelta(seconds=1))
    two = await approvals.reject(two, ANA, assurance=Assurance.SESSION, comment="No", looked=timedelta(minutes=1))
    three = await approvals.approve(three, ANA, assurance=Assurance.SESSION)
    assert [told.decisions[0].hasty for told in (one, two, three)] == [True, False, False]
    assert [told.decisions[0].looked for told in (two, three)] == [timedelta(minutes=1), None]


async def test_waiting_returns_with_the_decision_or_when_the_time_is_up(approvals: Approvals) -> None:
    approval = await approvals.request("Refund order 17", REFUND)
    assert (await approvals.wait(approval.id, seconds=0)).status is Status.PENDING
    waited: list[Approval] = []

    async def wait() -> None:
        waited.append(await approvals.wait(approval.id))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await approvals.approve(approval, ANA, assurance=Assurance.SESSION)
    assert waited[0].status is Status.APPROVED


async def test_an_outcome_that_nothing_here_will_bring_is_not_waited_for(approvals: Approvals) -> None:
    approval = await approvals.request("Refund order 17", REFUND)
    assert (await approvals.outcome(approval.id, seconds=0.01)).status is Status.PENDING
    await approvals.approve(approval, ANA, assurance=Assurance.SESSION)
    with anyio.fail_after(20):
        assert (await approvals.outcome(approval.id)).status is Status.APPROVED


async def test_an_id_of_nowhere_is_not_found(approvals: Approvals) -> None:
    for look in (approvals.get, approvals.wait, approvals.outcome):
        with pytest.raises(NotFound):
            await look("apr_01jd9xkm8g0123456789abcdef")


async def test_before_it_is_running_there_is_a_sentence_that_says_so(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "hitl.db")
    with pytest.raises(Unavailable, match=r"async with approvals\.running"):
        await approvals.request("Refund order 17", REFUND)
    async with approvals.running():
        await approvals.request("Refund order 17", REFUND)
    with pytest.raises(Unavailable):
        await approvals.get("apr_01jd9xkm8g0123456789abcdef")


async def test_mistakes_in_the_policy_are_told_when_the_program_starts(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("[kinds.action]\ntimeout = 'soon'\n")
    with pytest.raises(Invalid, match=r"kinds\.action\.timeout"):
        Approvals(tmp_path / "hitl.db", policy=tmp_path / "policy.toml")


async def test_approvals_outlive_their_program(tmp_path: Path, policy: Path) -> None:
    async with Approvals(tmp_path / "hitl.db", policy=policy).running() as first:
        asked = await first.request("Refund order 17", REFUND)
    async with Approvals(tmp_path / "hitl.db", policy=policy).running() as second:
        assert (await second.get(asked.id)) == asked


class Order(Flow[dict[str, int], str]):
    """A flow of the program's own."""

    kind = "order"

    async def run(self, value: dict[str, int], step: Step) -> str:
        """Wait, then deliver."""
        approval = await step.wait_for_approval("approval", payload=value)
        if approval.status is not Status.APPROVED:
            raise NotApproved(approval)
        return await step.do("deliver", deliver, approval.payload["order"])


def deliver(order: int) -> str:
    """What the flow does."""
    return f"Delivered {order}."


STAGES = (Stage((ANA.id,)),)
ORDER = Kind(name="order", schema={"type": "object", "required": ["order"]}, policy=Policy(stages=STAGES))


async def test_a_flow_of_the_programs_own_runs_once_its_approval_is_given(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "hitl.db")
    approvals.add(Order, ORDER)
    async with approvals.running():
        asked = await approvals.request("Order 17", {"order": 17}, kind="order")
        await approvals.approve(asked, ANA, assurance=Assurance.LOCAL)
        with anyio.fail_after(20):
            done = await approvals.outcome(asked.id)
    assert (done.outcome.state, done.outcome.result) == (OutcomeState.SUCCEEDED, {"value": "Delivered 17."})


async def test_a_flow_that_is_rejected_ends_without_an_outcome(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "hitl.db")
    approvals.add(Order, ORDER)
    async with approvals.running():
        asked = await approvals.request("Order 17", {"order": 17}, kind="order")
        await approvals.reject(asked, ANA, assurance=Assurance.LOCAL, comment="No.")
        with anyio.fail_after(20):
            assert (await approvals.outcome(asked.id)).outcome.state is OutcomeState.NONE


async def test_a_flow_of_a_kind_that_there_is_not_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="Order is for the kind 'order', which the policy file does not have"):
        Approvals(tmp_path / "hitl.db").add(Order)


class Login(BaseModel):
    """What a flow logs in with."""

    token: SecretStr


HIDDEN = Field(json_schema_extra={"writeOnly": True})


@pytest.mark.parametrize(
    ("token", "title", "mistake"),
    [
        (Login, None, r"schema\.\$defs\.Login\.properties\.token\.writeOnly: must be directly under properties"),
        (SecretStr | None, None, r"schema\.properties\.token\.anyOf\[0\]\.writeOnly: must be directly"),
        (SecretStr, "Use {token}", r"title: \{token\} must not be in a title"),
    ],
)
def test_t36_a_kind_that_would_show_what_it_marks_as_secret_is_refused(
    tmp_path: Path, token: Any, title: str | None, mistake: str
) -> None:
    schema = create_model("Order", token=(token, ...)).model_json_schema()
    with pytest.raises(Invalid, match=f"'order' would show secrets. {mistake}"):
        Approvals(tmp_path / "hitl.db").add(Order, Kind(name="order", title=title, schema=schema))


async def test_t36_what_is_marked_where_it_is_found_is_in_no_list(tmp_path: Path) -> None:
    model = create_model("Order", order=(int, ...), token=(Annotated[SecretStr | None, HIDDEN], None))
    approvals = Approvals(tmp_path / "hitl.db")
    approvals.add(Order, Kind(name="order", title="Order {order}", schema=model.model_json_schema()))
    async with approvals.running():
        await approvals.request("Order 17", {"order": 17, "token": "CANARY"}, kind="order")
        listed = views(approvals.desk).page_shape(await approvals.desk.search.pending(approvals.requester))
    assert listed["approvals"][0]["payload"] == {"order": 17, "token": "[redacted]"}


async def test_a_flow_of_a_kind_in_the_policy_file_follows_that_policy(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[kinds.order]\nschema = {}\nstages = [{ approvers = ["ana@example.com"] }]\n')
    approvals = Approvals(tmp_path / "hitl.db", policy=policy)
    approvals.add(Order)
    async with approvals.running():
        asked = await approvals.request("Order 17", {"order": 17}, kind="order")
        assert asked.policy.stages[0].approvers == (ANA.id,)
        assert asked.flow is not None


def test_every_public_name_is_there_and_no_other() -> None:
    for name in mcp_hitl.__all__:
        assert getattr(mcp_hitl, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'mcp_hitl' has no attribute 'Nonsense'"):
        _ = mcp_hitl.Nonsense  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
    assert issubclass(Invalid, HitlError)


async def test_a_decision_that_a_program_vouches_for_says_so(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[kinds.action]\nassurance = "step-up"\nstages = [{ approvers = ["ana@example.com"] }]\n')
    approvals = Approvals(tmp_path / "hitl.db", policy=policy)
    async with approvals.running():
        asked = await approvals.request("Pay", {"n": 1})
        ana = Principal("ana@example.com", Established.PROGRAM)
        decided = await approvals.approve(asked, ana, assurance=Assurance.STEP_UP)
        [decision] = approvals.shape(decided)["decisions"]
        assert (decision["assurance"], decision["established"]) == ("step-up", "program")
        assert decided.decisions[0].assured == "step-up, as a program says"
