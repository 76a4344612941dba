"""Who looks at an approval: every read of the desk asks, and what it returns was seen."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from team_samples import AGENT, FINANCE, MANAGERS, a_rulebook, person, told

from mcp_hitl.desk import Desk
from mcp_hitl.desk.approvals import Approvals
from mcp_hitl.desk.audience import audience
from mcp_hitl.desk.context import Context
from mcp_hitl.desk.decisions import Decisions
from mcp_hitl.desk.evidence import Evidence
from mcp_hitl.desk.search import Search
from mcp_hitl.desk.sign_in import InboxAccess
from mcp_hitl.desk.stops import Stops
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.seen import Audience, Seen
from mcp_hitl.domain.policy.policy import Assurance, Policy
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook

pytestmark = pytest.mark.anyio

Under = Callable[[Rulebook], Desk]


def _principals(verb: Any) -> set[str]:
    found = inspect.signature(verb).parameters.values()
    return {one.name for one in found if one.annotation in (Principal, Principal | None)}


VERBS = {
    name: verb
    for part in (Context, Approvals, Decisions, Search, Stops, InboxAccess, Evidence)
    for name, verb in inspect.getmembers(part, inspect.isfunction)
    if not name.startswith("_") and _principals(verb)
}


def test_there_are_verbs_with_a_principal() -> None:
    assert {"get", "wait", "trail", "news", "earlier", "pending", "history", "decide", "submit"} <= VERBS.keys()


@pytest.mark.parametrize("name", sorted(VERBS))
def test_t22_no_verb_of_the_desk_ignores_its_principal(name: str) -> None:
    [function] = ast.parse(textwrap.dedent(inspect.getsource(VERBS[name]))).body
    assert isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef)
    used = {node.id for part in function.body for node in ast.walk(part) if isinstance(node, ast.Name)}
    assert _principals(VERBS[name]) <= used


@pytest.mark.parametrize("name", sorted(VERBS))
def test_t36_the_desk_returns_only_what_was_seen(name: str) -> None:
    def parts(hint: Any) -> list[Any]:
        inside: list[Any] = [*getattr(hint, "__args__", ()), *getattr(hint, "__annotations__", {}).values()]
        return [hint, *(part for one in inside if one is not Seen for part in parts(one))]

    returned = inspect.signature(VERBS[name]).return_annotation
    assert returned is Seen or Approval not in parts(returned)


async def test_t22_an_approver_is_whoever_may_decide_now_where_it_can_be_decided(under: Under) -> None:
    rulebook = a_rulebook(Policy(stages=(FINANCE, MANAGERS), four_eyes=True, assurance=Assurance.SESSION))
    desk = under(rulebook)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})

    def seats(approval: Approval, deciding: Assurance | None) -> dict[str, str]:
        names = ("bo", "cy", "di", "agent")
        now = desk.clock()
        return {name: audience(person(name), approval, rulebook, now, deciding).value for name in names}

    nobody = {"bo": "other", "cy": "other", "di": "other", "agent": "owner"}
    assert seats(asked, Assurance.SESSION) == nobody | {"bo": "approver"}
    assert seats(asked, Assurance.LOCAL) == seats(asked, None) == nobody
    await told(desk, asked, "bo approves signed in")
    second = await desk.approvals.get(AGENT, asked.id)
    assert seats(second, Assurance.STEP_UP) == nobody | {"cy": "approver"}
    await told(desk, second, "cy approves signed in")
    assert seats(await desk.approvals.get(AGENT, asked.id), Assurance.STEP_UP) == nobody
    assert {one.value for one in Audience} >= set(nobody.values())
