"""`policy check` and `policy explain`, as a person and as a script use them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mcp_hitl.cli.policy import policy
from mcp_hitl.config import CONFIGURATION
from mcp_hitl.domain.values.canonical import JsonObject

EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
MONEY = EXAMPLES / "expenses-and-payments.toml"
LUNCH: JsonObject = {"amount": 19.9, "currency": "USD", "description": "Lunch"}


def run(*arguments: str | Path, payload: Any = None, environment: dict[str, str | None] | None = None) -> Result:
    given = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return CliRunner(env={CONFIGURATION: None, **(environment or {})}).invoke(
        policy, [str(argument) for argument in arguments], input=given
    )


def test_check_sums_up_a_correct_file() -> None:
    result = run("check", MONEY)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "4 kinds, profile team."
    assert (
        "expense: 1 of finance (ana@example.com, bo@example.com, dee@example.com)\n"
        "    assurance session, expires after 7 days\n"
        "    petty cash: approved at once, at most 4 a day\n"
        "    large: 2 of finance (ana@example.com, bo@example.com, dee@example.com); then 1 of managers "
        "(cy@example.com, dee@example.com)\n"
    ) in result.stdout


def test_check_tells_who_decides_in_each_way_there_is(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(
        "[kinds.action]\nstages = [{ approvers = ['os:ana', 'local'] }]\n"
        "rules = [{ name = 'never', when = {}, decide = 'reject' }]\n"
    )
    assert (
        "action: 1 of os:ana, anyone at the requester's machine\n"
        "    assurance local, expires after 7 days\n"
        "    never: rejected at once\n"
    ) in run("check", tmp_path / "policy.toml").stdout


def test_check_tells_every_mistake_and_exits_2(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(
        "profil = 'solo'\n[kinds.pay]\nschema = {}\nflow = 'no_such_module_of_a_test:Flow'\n"
    )
    result = run("check", tmp_path / "policy.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"mcp-hitl: {tmp_path / 'policy.toml'} has 2 mistakes.",
        "  profil: is an unknown key; did you mean 'profile'?",
        "  kinds.pay.flow: must be importable here: ModuleNotFoundError: No module named 'no_such_module_of_a_test'",
    ]


def test_check_of_a_file_that_is_not_there_exits_2(tmp_path: Path) -> None:
    result = run("check", tmp_path / "policy.toml")
    assert (result.exit_code, result.stderr) == (
        2,
        f"mcp-hitl: There is no policy file at {tmp_path / 'policy.toml'}.\n",
    )


def test_explain_tells_a_person_who_decides_and_why() -> None:
    result = run("explain", "expense", "-", "--config", MONEY, payload={**LUNCH, "amount": 6000})
    assert result.exit_code == 0
    assert (
        result.stdout
        == """\
Held: people decide, as large says.

Title     Expense: 6,000 USD for Lunch
Digest    sha256:95e7227c35b56028f94e976290b65e692ec72969032d149829753256812cb367

Why
    petty cash does not: payload.amount must be less than 25.
    large applies

Who decides
    Stage 1: 2 of finance (ana@example.com, bo@example.com, dee@example.com)
    Stage 2: 1 of managers (cy@example.com, dee@example.com)
    Minimum assurance: session
    Rejections needed: 1
    The requester may not decide (four_eyes)
    A person who edited it may not approve the edit
    Each person counts in one stage only

Time
    Expires after 7 days; expiry never approves
    Reminders after 4 hours, 2 days in each stage
    If rejected, it stays rejected for 1 day

Afterwards
    The flow mcp_hitl.flows.expense:ExpenseFlow carries it out, within 1 day
"""
    )


def test_explain_says_what_comes_when_a_rules_day_is_used_up() -> None:
    told = run("explain", "expense", "-", "--config", MONEY, payload=LUNCH).stdout
    assert told.startswith("Approved at once by petty cash, and recorded as decided by the policy.\n")
    assert "After 4 approvals for one requester in 24 hours, people are asked:" in told
    assert "        after 1 day of waiting also managers (cy@example.com, dee@example.com)\n" in told


def test_explain_of_what_a_rule_decides_for_good_asks_nobody() -> None:
    rows = {"system": "test", "table": "audit_log", "filter": "true", "rows": 1}
    told = run("explain", "delete", "-", "--config", EXAMPLES / "bulk-deletion-and-export.toml", payload=rows).stdout
    assert told.startswith("Rejected at once by never the audit log, and recorded as decided by the policy.\n")
    assert told.endswith("If rejected, it stays rejected for 7 days\n")
    post = {"site": "staging", "headline": "x", "body": "y"}
    told = run("explain", "publish", "-", "--config", EXAMPLES / "publishing-and-email.toml", payload=post).stdout
    assert told.startswith("Approved at once by staging")
    assert "Who decides" not in told


def test_explain_of_what_does_not_fit_says_where() -> None:
    result = run("explain", "expense", "-", "--config", MONEY, payload={**LUNCH, "amount": "19.9"})
    assert (result.exit_code, result.stdout) == (
        0,
        "Refused: payload.amount must be a number.\nNothing is stored, and nobody is asked.\n",
    )
    result = run("explain", "action", "-", payload=["x"])
    assert result.stdout.startswith("Refused: payload must be an object.\n")


def test_explain_without_a_policy_file_uses_what_is_there_without_any() -> None:
    told = run("explain", "action", "-", payload={}).stdout
    assert "This kind has no rules." in told
    assert "Stage 1: anyone at the requester's machine" in told
    assert "The requester carries it out, once, at any time" in told
    told = run("explain", "question", "-", payload={"question": "Why?"}).stdout
    assert "If rejected, it can be requested again immediately" in told
    assert told.endswith("Nothing else happens\n")


def test_explain_reads_the_policy_that_the_environment_names() -> None:
    told = run("explain", "expense", "-", payload={**LUNCH, "amount": 100}, environment={CONFIGURATION: str(MONEY)})
    assert "No rule applies: the kind's own stages." in told.stdout


def test_explain_answers_programs_in_json() -> None:
    result = run("explain", "expense", "-", "--json", "--config", MONEY, payload=LUNCH)
    answer = json.loads(result.stdout)
    assert answer | {"digest": "", "rules": [], "stages": []} == {
        "kind": "expense",
        "profile": "team",
        "outcome": "approved",
        "title": "Expense: 19.90 USD for Lunch",
        "digest": "",
        "rule": "petty cash",
        "max_per_day": 4,
        "rules": [],
        "stages": [],
        "rejections": 1,
        "assurance": "session",
        "unattended": False,
        "four_eyes": True,
        "editor_may_approve": False,
        "one_stage_each": True,
        "remind_after": ["4 hours", "2 days"],
        "timeout": "7 days",
        "cooldown": "1 day",
        "valid_for": "1 day",
        "form": True,
        "flow": "mcp_hitl.flows.expense:ExpenseFlow",
    }
    assert answer["rules"] == [{"name": "petty cash", "holds": True, "because": None}]
    assert answer["stages"] == [
        {
            "approvers": ["group:finance"],
            "people": ["ana@example.com", "bo@example.com", "dee@example.com"],
            "quorum": 1,
            "escalate": [{"after": "1 day", "to": ["group:managers"], "people": ["cy@example.com", "dee@example.com"]}],
        }
    ]
    refused = run("explain", "expense", "-", "--json", payload={})
    assert json.loads(refused.stdout)["outcome"] == "refused"
    assert refused.exit_code == 0


@pytest.mark.parametrize(
    ("kind", "payload", "message"),
    [
        ("travel", b"{}", "There is no such kind. Use one of: action, counter, expense, question."),
        ("action", b'{"a": 1, "a": 2}', "payload has 'a' twice in one object."),
        ("action", b'{"a": NaN}', "payload has a number that is not finite"),
        ("action", b"{", "payload is not JSON (line 1, column 2)."),
    ],
)
def test_explain_refuses_what_it_cannot_ask_about(kind: str, payload: bytes, message: str) -> None:
    result = run("explain", kind, "-", payload=payload)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"mcp-hitl: {message}")
    as_json = run("explain", kind, "-", "--json", payload=payload)
    assert (as_json.exit_code, json.loads(as_json.stdout)["code"]) == (2, "invalid")


def test_a_payload_file_that_is_not_there_exits_2(tmp_path: Path) -> None:
    assert run("explain", "action", tmp_path / "payload.json").exit_code == 2


def test_names_and_payloads_that_deceive_the_eye_are_shown_as_escapes(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(
        '[kinds.pay]\ntitle = "To {to}"\nschema = { properties = { to = { pattern = "^\\u202e$" } } }\n',
        encoding="utf-8",
    )
    shown = run("explain", "pay", "-", "--config", tmp_path / "policy.toml", payload={"to": "\u202e"}).stdout
    assert "To \\u202e" in shown
    shown += run("explain", "pay", "-", "--config", tmp_path / "policy.toml", payload={"to": "x"}).stdout
    assert "\u202e" not in shown


def test_durations_are_told_exactly_and_as_a_policy_file_has_them(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(
        "[kinds.action]\ntimeout = '36 hours'\nvalid_for = '90 seconds'\ncooldown = '1 minute'\n"
    )
    answer = json.loads(
        run("explain", "action", "-", "--json", "--config", tmp_path / "policy.toml", payload={}).stdout
    )
    assert (answer["timeout"], answer["valid_for"], answer["cooldown"]) == ("36 hours", "90 seconds", "1 minute")
