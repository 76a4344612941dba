"""What a policy file says is what the rulebook holds, and the profile says the rest."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.policy.kinds import ACTION, BUILT_IN, EXPENSE, Limits
from mcp_hitl.domain.policy.policy import Assurance, Escalation, Policy, Profile, Stage, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule

EVERY_KEY = """
profile = "team"
unattended = false
retention = "365 days"

[people]
finance = ["ana@example.com", "bo@example.com"]
managers = ["cy@example.com"]
[aliases]
"ana@example.com" = ["ana.b@corp.example"]

[kinds.expense]
title = "Expense: {amount} {currency} for {description}"
schema = { type = "object", properties = { amount = { type = "number" }, currency = { type = "string" }, description = { type = "string" } }, required = ["amount", "currency"] }
flow = "somebody.flows:Expense"
timeout = "7 days"
valid_for = "1 day"
remind_after = ["4 hours", "PT30M", "4 hours"]
cooldown = "24 hours"
assurance = "step-up"
four_eyes = false
editor_may_approve = true
rejections = 2
form = { properties = { cost_center = { type = "string", title = "Cost center" } } }
limits = { open_per_requester = 100, payload_bytes = 65536, per_minute = 60 }

  [[kinds.expense.stages]]
  approvers = ["group:finance", "ana.b@corp.example"]
  quorum = 2
  escalate = [{ after = "2 days", to = ["os:root"] }, { after = "24 hours", to = ["group:managers"] }]

  [[kinds.expense.rules]]
  when = { properties = { amount = { exclusiveMaximum = 25 }, currency = { const = "USD" } }, required = ["amount", "currency"] }
  decide = "approve"
  max_per_day = 4

  [[kinds.expense.rules]]
  name = "large"
  when = { properties = { amount = { minimum = 5000 } }, required = ["amount"] }
  stages = [{ approvers = ["group:finance"], quorum = 2 }]
"""  # noqa: E501
TEAM = Policy(
    stages=(Stage(("bo",)),), assurance=Assurance.SESSION, four_eyes=True, editor_may_approve=False, one_stage_each=True
)
DECIDED = "stages = [{ approvers = ['bo'] }]\n"


def test_every_key_is_read() -> None:
    policy = parse(EVERY_KEY)
    expense = policy.rulebook.kinds["expense"]
    assert policy.retention == timedelta(days=365)
    assert policy.rulebook.profile is Profile.TEAM
    assert policy.rulebook.people.groups == {
        "finance": {"ana@example.com", "bo@example.com"},
        "managers": {"cy@example.com"},
    }
    assert policy.rulebook.people.aliases == {"ana.b@corp.example": "ana@example.com"}
    assert expense.policy == Policy(
        stages=(
            Stage(
                ("group:finance", "ana@example.com"),
                2,
                (Escalation(timedelta(days=1), ("group:managers",)), Escalation(timedelta(days=2), ("os:root",))),
            ),
        ),
        rejections=2,
        assurance=Assurance.STEP_UP,
        four_eyes=False,
        editor_may_approve=True,
        one_stage_each=True,
        valid_for=timedelta(days=1),
        remind_after=(timedelta(minutes=30), timedelta(hours=4)),
    )
    assert (expense.flow, expense.cooldown) == ("somebody.flows:Expense", timedelta(days=1))
    assert expense.limits == Limits(open_per_requester=100, payload_bytes=65_536, per_minute=60)
    assert expense.form == {
        "type": "object",
        "properties": {"cost_center": {"type": "string", "title": "Cost center"}},
        "required": [],
    }
    assert [replace(rule, when={}) for rule in expense.rules] == [
        Rule(name="rule 1", when={}, decide=Verdict.APPROVE, max_per_day=4),
        Rule(name="large", when={}, stages=(Stage(("group:finance",), 2),)),
    ]
    assert expense.schema["required"] == ["amount", "currency"]


def test_an_empty_file_is_what_is_there_without_any() -> None:
    assert parse("").rulebook == Rulebook(written=True)
    assert parse("").retention is None


def test_a_policy_lifts_what_bounds_how_many_and_how_often() -> None:
    kinds = parse(
        "[kinds.expense]\nlimits = { open_per_requester = 'none', open_bytes = 'none', per_minute = 'none' }"
    ).rulebook.kinds
    assert kinds["expense"].limits == Limits(open_per_requester=None, open_bytes=None, per_minute=None)


def test_a_table_changes_a_built_in_kind_key_by_key() -> None:
    kinds = parse("[kinds.expense]\ntimeout = '2 days'\nlimits = { per_minute = 5 }").rulebook.kinds
    assert kinds["expense"] == replace(EXPENSE, timeout=timedelta(days=2), limits=replace(Limits(), per_minute=5))
    assert {name: kind for name, kind in kinds.items() if name != "expense"} == {
        name: kind for name, kind in BUILT_IN.items() if name != "expense"
    }


def test_what_a_kind_has_by_default_can_be_none() -> None:
    kind = parse("[kinds.expense]\ncooldown = 'none'\nflow = 'none'\nremind_after = []").rulebook.kinds["expense"]
    assert (kind.cooldown, kind.flow, kind.policy.remind_after) == (None, None, ())
    assert kind.redeemable


def test_solo_leaves_a_kind_to_the_person_at_the_machine() -> None:
    assert (
        parse("[kinds.pay]\nschema = {}").rulebook.kinds["pay"].policy
        == Policy()
        == Policy(stages=(Stage(("local",)),), assurance=Assurance.LOCAL, four_eyes=False)
    )


def test_team_asks_somebody_else_who_has_signed_in() -> None:
    rulebook = parse(f"profile = 'team'\n[kinds.pay]\nschema = {{}}\n{DECIDED}[kinds.action]\n{DECIDED}").rulebook
    assert rulebook.kinds["pay"].policy == rulebook.kinds["action"].policy == TEAM
    assert rulebook.kinds["action"].schema == ACTION.schema


def test_team_leaves_out_the_kinds_that_nobody_could_decide_and_keeps_what_asks_ones_own_person() -> None:
    kinds = parse("profile = 'team'").rulebook.kinds
    assert kinds == {name: BUILT_IN[name] for name in ("question", "counter")}


@pytest.mark.parametrize("profile", Profile)
def test_unattended_holds_for_every_kind(profile: Profile) -> None:
    kinds = parse(f"profile = '{profile.value}'\nunattended = true\n[kinds.expense]\n{DECIDED}").rulebook.kinds
    assert {kind.policy.unattended for kind in kinds.values()} == {True}


def test_t19_one_person_with_two_accounts_is_one_wherever_the_file_lists_them() -> None:
    rulebook = parse(
        """
        [people]
        finance = ["ana", "ana.b", "bo", "ana"]
        [aliases]
        ana = ["ana.b", "ana.c"]
        [kinds.action]
        stages = [{ approvers = ["ana.b", "ana", "group:finance"], quorum = 2 }]
        """
    ).rulebook
    assert rulebook.people.groups["finance"] == {"ana", "bo"}
    assert rulebook.kinds["action"].policy.stages == (Stage(("ana", "group:finance"), 2),)
    assert {rulebook.people.identify(Principal(account, Established.OS_USER)).id for account in ("ana.b", "ana.c")} == {
        "ana"
    }
