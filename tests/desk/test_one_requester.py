"""The person at this machine is one requester, whether their agent asks over stdio or over HTTP on loopback."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from desk_samples import AGENT, ANA, BO, Clock, hour, said, say
from team_samples import a_kind, person

from mcp_hitl.desk import Desk
from mcp_hitl.desk.transactions import submit
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState, Status
from mcp_hitl.domain.policy.kinds import Limits
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Policy, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.errors import Conflict, NotAllowed, TooMany
from mcp_hitl.store.sql.log import SqlLog

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]

WAYS = {"stdio and then HTTP": (AGENT, LOOPBACK), "HTTP and then stdio": (LOOPBACK, AGENT)}
ways = pytest.mark.parametrize(("first", "second"), WAYS.values(), ids=WAYS)
SMALL = Rule(name="small", when={}, decide=Verdict.APPROVE, max_per_day=4)


def a_machine(**changes: Any) -> Rulebook:
    """One person's machine, whose one kind is `thing`."""
    return Rulebook(kinds={"thing": replace(a_kind(Policy()), **changes)})


async def ask(desk: Desk, who: Principal, n: int = 1, **options: str) -> Approval:
    return await desk.approvals.submit(who, "thing", {"n": n}, **options)


@ways
async def test_t23_what_was_rejected_stays_so_whichever_way_it_is_asked(
    under: Under, clock: Clock, first: Principal, second: Principal
) -> None:
    desk = under(a_machine())
    asked = await ask(desk, first)
    await say(desk, said(ANA, asked, Verdict.REJECT, comment="No."))
    again = await ask(desk, second)
    assert (again.id, again.status, again.asked) == (asked.id, Status.REJECTED, 2)
    assert again.requester == first.id, "the record keeps who asked"
    clock.advance(hour(25))
    assert (await ask(desk, second)).status is Status.PENDING


@ways
async def test_t24_what_was_asked_the_other_way_is_shown(under: Under, first: Principal, second: Principal) -> None:
    desk = under(a_machine())
    rejected, mine = await ask(desk, first), await ask(desk, second, 2)
    await say(desk, said(ANA, rejected, Verdict.REJECT, comment="No."))
    asked = await ask(desk, second, 3)
    earlier = await desk.approvals.earlier(ANA, asked)
    assert [one.id for one in earlier.shown] == [rejected.id, mine.id]
    assert earlier.counts == "1 rejected, 1 pending"


@ways
async def test_t37_a_rules_limit_a_day_is_for_both_ways_together(
    under: Under, first: Principal, second: Principal
) -> None:
    desk = under(a_machine(rules=(SMALL,)))
    statuses = [(await ask(desk, (first, second)[n % 2], n)).status for n in range(8)]
    assert statuses == [Status.APPROVED] * 4 + [Status.PENDING] * 4


@pytest.mark.parametrize("limits", [Limits(open_per_requester=2), Limits(per_minute=2)], ids=["open", "rate"])
@ways
async def test_t37_quotas_are_for_both_ways_together(
    under: Under, first: Principal, second: Principal, limits: Limits
) -> None:
    desk = under(a_machine(limits=limits))
    await ask(desk, first, 1)
    await ask(desk, second, 2)
    for who in (first, second):
        with pytest.raises(TooMany):
            await ask(desk, who, 3)


async def test_t37_who_joined_goes_on_with_it_and_nobody_reads_the_whole_trail(
    under: Under, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = under(a_machine())
    first, second = AGENT, LOOPBACK
    asked = await ask(desk, first)
    await ask(desk, second)
    await say(desk, said(ANA, asked))
    monkeypatch.delattr(SqlLog, "entries")
    used = await desk.approvals.redeem(second, asked.id, asked.digest)
    assert used.outcome.state is OutcomeState.RUNNING


async def test_t37_what_is_asked_for_again_and_again_is_recorded_so_often_and_then_only_answered(
    under: Under, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "MOST_ASKED", 3)
    desk = under(a_machine())
    first, second = AGENT, LOOPBACK
    ids = {(await ask(desk, first, dedup_key="k")).id for _ in range(9)}
    [only] = ids
    assert (await desk.approvals.get(first, only)).asked == 3
    joined = [await ask(desk, second, dedup_key="k") for _ in range(5)]
    assert {one.id for one in joined} == ids and joined[-1].asked == 4, "who joins is recorded once in any case"
    assert len((await desk.approvals.trail(first, only)).entries) == 4
    assert (await desk.evidence.verify()).wrong is None


@ways
async def test_t10_a_repeated_request_joins_the_first_whichever_way_it_comes(
    under: Under, first: Principal, second: Principal
) -> None:
    desk = under(a_machine())
    keyed, plain = await ask(desk, first, dedup_key="k"), await ask(desk, first, 2)
    assert [(await ask(desk, second, dedup_key="k")).id, (await ask(desk, second, 2)).id] == [keyed.id, plain.id]
    with pytest.raises(Conflict):
        await ask(desk, second, 3, dedup_key="k")
    await say(desk, said(ANA, plain))
    used = await desk.approvals.redeem(second, plain.id, plain.digest)
    assert used.outcome.state is OutcomeState.RUNNING, "whoever joined a request can go on with it"
    done = await desk.approvals.report(second, plain.id, True)
    assert done.outcome.state is OutcomeState.SUCCEEDED
    assert (await desk.evidence.verify()).wrong is None


async def test_t22_over_http_nobody_redeems_what_they_did_not_ask_for(under: Under) -> None:
    desk = under(a_machine())
    asked = await say(desk, said(BO, await ask(desk, ANA)))
    with pytest.raises(NotAllowed):
        await desk.approvals.redeem(LOOPBACK, asked.id, asked.digest)
    await ask(desk, LOOPBACK, 2)
    with pytest.raises(NotAllowed):
        await desk.approvals.redeem(LOOPBACK, asked.id, asked.digest)


async def test_two_accounts_of_a_machine_stay_two_requesters_and_a_program_is_another(under: Under) -> None:
    desk = under(a_machine(rules=(replace(SMALL, max_per_day=1),)))
    first = await ask(desk, ANA)
    assert [(await ask(desk, who)).status for who in (BO, person("billing"))] == [Status.APPROVED] * 2
    over_http = await ask(desk, LOOPBACK)
    assert (first.status, over_http.status) == (Status.APPROVED, Status.PENDING)
    assert (await desk.approvals.earlier(ANA, over_http)).counts == "2 approved", "of the accounts, not the program"


async def test_t19_what_somebody_asked_under_a_name_that_is_an_alias_by_now_counts(under: Under) -> None:
    rejected = await ask(under(a_machine()), AGENT)
    await say(under(a_machine()), said(ANA, rejected, Verdict.REJECT, comment="No."))
    people = People(aliases={AGENT.id: "agent@example.com"})
    desk = under(replace(a_machine(), people=people))
    assert (await ask(desk, AGENT)).id == (await ask(desk, LOOPBACK)).id == rejected.id
