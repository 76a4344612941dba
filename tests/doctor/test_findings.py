"""What `doctor` finds, as tables: facts on the left, the codes of the findings on the right."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from samples import SAFE, START

from mcp_hitl.config.policy_file import parse
from mcp_hitl.desk.doctor_facts import Examination
from mcp_hitl.doctor.findings.connections import connection_findings, delivery, heading
from mcp_hitl.doctor.findings.files import Access, Role, Storage, file_findings
from mcp_hitl.doctor.findings.finding import Finding, Severity
from mcp_hitl.doctor.findings.policies import policy_findings
from mcp_hitl.doctor.findings.quorum_reach import Reach, reach_findings
from mcp_hitl.doctor.findings.schemas import open_places, takes_anything
from mcp_hitl.doctor.findings.state import Found, state_findings
from mcp_hitl.domain.approvals.clients import Acquaintance, Client, Transport
from mcp_hitl.domain.approvals.stop import Stop
from mcp_hitl.domain.policy.assurances import LINK, SignIn
from mcp_hitl.domain.policy.kinds import BUILT_IN
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Assurance, Policy, Profile, Stage
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject

PASSWORD = SignIn("password", Assurance.SESSION)
"""A way of signing in that no agent has."""
HERE = Reach.of("os:ana", [LINK])
SIGNED_IN = Reach.of("os:ana", [LINK, PASSWORD])
RULE = """
[[kinds.payment.rules]]
name = "small"
when = { properties = { to = { const = "Bo" } }, required = ["to"] }
decide = "approve"
max_per_day = 3
"""


def codes(findings: list[Finding], severity: Severity | None = None) -> list[str]:
    return [one.code for one in findings if severity is None or one.severity is severity]


def policy(text: str, reach: Reach = SIGNED_IN) -> list[Finding]:
    read = parse(text)
    return policy_findings(read.rulebook, reach, retention=read.retention)


def test_how_sure_a_decision_can_be_follows_from_the_ways_of_signing_in() -> None:
    at_machine = frozenset({"local", "os:ana"})
    assert Reach.of("os:ana", []) == HERE == Reach("os:ana", at_machine, Assurance.LOCAL)
    assert SIGNED_IN == Reach("os:ana", at_machine, Assurance.SESSION)


def test_a_policy_that_leaves_nothing_open_has_no_finding() -> None:
    assert policy(SAFE) == []
    assert policy(SAFE + RULE) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('assurance = "local"', "shared-account"),
        ("four_eyes = false", "no-four-eyes"),
        ('cooldown = "none"', "no-cooldown"),
    ],
)
def test_a_line_that_opens_a_way_is_unsafe(line: str, found: str) -> None:
    findings = policy(SAFE + line)
    assert codes(findings, Severity.UNSAFE) == [found] and len(findings) == 1
    assert "payment" in findings[0].what and findings[0].allows
    assert policy(SAFE + findings[0].mend[0].line) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('retention = "90 days"', "", "kept-for-ever"),
        ('valid_for = "1 day"', "", "no-validity"),
        ('valid_for = "1 day"', 'valid_for = "1 day"\ntimeout = "31 days"', "long-timeout"),
    ],
)
def test_what_is_good_to_know_is_a_note(old: str, new: str, found: str) -> None:
    findings = policy(SAFE.replace(old, new))
    assert codes(findings, Severity.NOTE) == [found] and len(findings) == 1


def test_a_timeout_of_a_month_is_not_long() -> None:
    assert policy(SAFE + 'timeout = "30 days"') == []


def test_unattended_is_worst_where_one_account_asks_and_approves() -> None:
    [alone] = policy("unattended = true" + SAFE)
    assert alone.code == "unattended" and "itself" not in alone.allows
    [both] = [one for one in policy("unattended = true" + SAFE + "four_eyes = false") if one.code == "unattended"]
    assert "For the kind payment, the agent can approve its own requests this way" in both.allows


def test_each_approving_rule_without_a_daily_limit_is_found_and_no_other_rule() -> None:
    held = RULE.replace('decide = "approve"\nmax_per_day = 3', 'stages = [{ approvers = ["os:bo"] }]')
    rejecting = RULE.replace('decide = "approve"\nmax_per_day = 3', 'decide = "reject"')
    assert policy(SAFE + held) == policy(SAFE + rejecting) == []
    assert codes(policy(SAFE + RULE.replace("max_per_day = 3", ""))) == ["rule-without-limit"]


def test_t02_a_rule_that_approves_fields_nobody_has_named_is_found() -> None:
    open_schema = SAFE.replace(", additionalProperties = false", "")
    assert codes(policy(open_schema)) == []
    [finding] = policy(open_schema + RULE)
    assert finding.code == "rule-over-open-schema" and "in payload)" in finding.what
    closed_by_rule = RULE.replace('required = ["to"] }', 'required = ["to"], additionalProperties = false }')
    assert policy(open_schema + closed_by_rule) == []


OBJECT: JsonObject = {"type": "object"}
CLOSED: JsonObject = {"type": "object", "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "when", "places"),
    [
        ({}, {}, ["payload"]),
        (CLOSED, {}, []),
        ({}, CLOSED, []),
        ({"unevaluatedProperties": False}, {}, []),
        ({"additionalProperties": {"type": "string"}}, {}, ["payload"]),
        (CLOSED | {"properties": {"a": OBJECT}}, {}, ["payload.a"]),
        (CLOSED | {"properties": {"a": CLOSED | {"properties": {"b": OBJECT}}}}, {}, ["payload.a.b"]),
        (CLOSED | {"properties": {"a": OBJECT}}, {"properties": {"a": CLOSED}}, []),
        (CLOSED | {"properties": {"a": {"type": "string"}}}, {"properties": {"a": {"minLength": 1}}}, []),
        (CLOSED | {"properties": {"a": {"type": ["object", "null"]}}}, {}, ["payload.a"]),
        (CLOSED | {"properties": {"a": {"type": "object"}}}, {"properties": {"a": {"const": {}}}}, []),
        (CLOSED | {"properties": {"a": {"type": "array", "items": OBJECT}}}, {}, ["payload.a[]"]),
        (CLOSED | {"properties": {"a": {"type": "array", "items": CLOSED}}}, {}, []),
        (CLOSED | {"properties": {"a": True}}, {}, []),
        (CLOSED | {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": OBJECT}}, {}, ["payload.a"]),
        (CLOSED | {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": CLOSED}}, {}, []),
        ({"$ref": "#/$defs/a", "$defs": {"a": CLOSED}}, {}, []),
    ],
)
def test_the_places_where_a_schema_is_open(schema: JsonObject, when: JsonObject, places: list[str]) -> None:
    assert open_places(schema, when) == places


def test_a_schema_that_holds_itself_is_followed_only_so_far() -> None:
    endless: JsonObject = CLOSED | {"properties": {"a": {"$ref": "#"}}}
    endless["properties"]["a"] = {"$ref": "#/$defs/a"}
    endless["$defs"] = {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}}
    places = open_places(endless, {})
    assert places[0] == "payload.a" and len(places) < 20


@pytest.mark.parametrize(
    ("schema", "anything"),
    [({}, True), (OBJECT, True), ({"properties": {}}, True), (CLOSED, False), ({"allOf": [OBJECT]}, False)],
)
def test_a_schema_that_says_nothing_takes_anything(schema: JsonObject, anything: bool) -> None:
    assert takes_anything(schema) is anything


def test_t17_without_a_file_the_shared_account_is_told_plainly_with_its_ways_out() -> None:
    findings = policy_findings(Rulebook(), HERE, retention=None)
    [shared] = [one for one in findings if one.severity is Severity.UNSAFE]
    assert shared.code == "shared-account" and "action and expense" in shared.what
    assert "open a terminal and answer there in your name" in shared.allows
    session, account, serve, accept = shared.mend
    assert session.line == 'assurance = "session"' and "nobody can sign in here yet" in session.where
    assert account.line == 'stages = [{ approvers = ["os:ana"] }]' and serve.command == ("serve",)
    assert accept.command == ("doctor", "--accept", "shared-account")
    assert codes(findings, Severity.NOTE) == ["open-schema", "no-validity", "kept-for-ever", "no-policy-file"]
    [example] = [one for one in findings if one.code == "open-schema"]
    assert open_places(parse(example.mend[0].line).rulebook.kinds["publish"].schema, {}) == []
    [signed] = [one for one in policy_findings(Rulebook(), SIGNED_IN, retention=None) if one.code == "shared-account"]
    assert "nobody can sign in" not in signed.mend[0].where


@pytest.mark.parametrize(
    ("stages", "reach", "found"),
    [
        ((Stage(("local",)),), HERE, []),
        ((Stage(("os:ana",)),), HERE, []),
        ((Stage(("group:finance",)),), HERE, []),
        ((Stage(("ana.b",)),), replace(HERE, ids=frozenset({"ana.b"})), ["nobody-to-decide"]),
        ((Stage(("group:finance",), quorum=2),), HERE, ["nobody-to-decide"]),
        ((Stage(("local", "os:ana"), quorum=2),), HERE, ["nobody-to-decide"]),
        ((Stage(("group:nobody",)),), HERE, ["nobody-to-decide"]),
        ((Stage(("os:ana",)), Stage(("cy@example.com",))), HERE, ["nobody-to-decide"]),
    ],
    ids=[
        "local",
        "account",
        "group",
        "an alias is its person",
        "quorum",
        "local is the account",
        "empty group",
        "second stage",
    ],
)
def test_a_stage_that_nobody_here_can_complete_is_found(
    stages: tuple[Stage, ...], reach: Reach, found: list[str]
) -> None:
    people = People({"finance": frozenset({"os:ana", "os:bo"}), "nobody": frozenset()}, {"ana.b": "os:ana"})
    kinds = {"action": replace(BUILT_IN["action"], policy=Policy(stages=stages))}
    findings = reach_findings(Rulebook(kinds=kinds, people=people), reach)
    assert codes(findings) == found
    for finding in findings:
        assert finding.severity is Severity.NOTE
        assert ("group:nobody is empty" in finding.what) == (stages[0].approvers == ("group:nobody",))


def test_a_kind_that_asks_for_more_than_anybody_here_can_be_is_found() -> None:
    assert codes(reach_findings(parse(SAFE).rulebook, HERE)) == ["nobody-sure-enough"]
    assert reach_findings(parse(SAFE).rulebook, SIGNED_IN) == []


EXAMINED = Examination(
    now=START,
    mark=START,
    profile=Profile.SOLO,
    governed=False,
    stops=(),
    unsettled=(),
    open_kinds={"expense": 3},
    clients=(),
)


@pytest.mark.parametrize(
    ("change", "unsafe", "notes"),
    [
        ({}, [], []),
        ({"mark": START + timedelta(seconds=59)}, [], []),
        ({"mark": START + timedelta(hours=23)}, [], ["clock-behind"]),
        ({"mark": START + timedelta(days=400)}, ["clock-ran-ahead"], []),
        ({"governed": True}, ["another-policy"], []),
        ({"profile": Profile.TEAM}, ["another-policy"], []),
        ({"stops": (Stop(None, "os:bo", START), Stop("expense", "os:bo", START))}, [], ["stopped", "stopped"]),
        ({"unsettled": ("apr_1", "apr_2")}, [], ["outcome-unknown"]),
        ({"open_kinds": {"expense": 1, "publish": 2}}, [], ["unknown-kinds"]),
        ({"unclaimed": (("apr_1", "expense", None),)}, [], ["action-waits"]),
        ({"unclaimed": (("apr_1", "expense", "other"), ("apr_2", "publish", "p"))}, [], ["action-waits"] * 2),
    ],
    ids="nothing drift behind ahead governed team stopped unknown kinds waits changed".split(),
)
def test_what_the_database_tells(change: dict[str, Any], unsafe: list[str], notes: list[str]) -> None:
    findings = state_findings(Found(replace(EXAMINED, **change)), Rulebook())
    assert codes(findings, Severity.UNSAFE) == unsafe
    assert codes(findings, Severity.NOTE) == [*notes, "anchor"]


def test_what_a_person_has_to_do_in_the_database_is_a_command() -> None:
    stops = (Stop(None, "os:b\u202eo", START - timedelta(hours=3)), Stop("expense", "os:bo", START))
    changed = replace(EXAMINED, mark=START + timedelta(days=2), stops=stops, unsettled=("apr_1",))
    found = {one.code: one for one in state_findings(Found(changed), Rulebook())}
    assert found["clock-ran-ahead"].mend[0].command == ("reset-clock",)
    assert found["stopped"].mend[0].command == ("resume", "--kind", "expense")
    assert found["outcome-unknown"].mend[0].command == ("reconcile", "apr_1", "--succeeded")
    [everything, *_] = (one for one in state_findings(Found(changed), Rulebook()) if one.code == "stopped")
    assert everything.mend[0].command == ("resume",)
    assert "Everything is stopped" in everything.what and "(3 hours ago), by os:b\\u202eo." in everything.what


def test_a_database_that_is_not_there_or_cannot_be_read() -> None:
    assert codes(state_findings(Found(), Rulebook()), Severity.NOTE) == ["no-database"]
    [finding] = state_findings(Found(unusable="It is locked."), Rulebook())
    assert (finding.code, finding.severity) == (
        "database-unusable",
        Severity.UNSAFE,
    ) and "It is locked." in finding.what


STORAGE = Storage(accesses=(), checked=True, usual="/home/ana/hitl.db", account="ana")
MINE = Access(Role.DATABASE, "/x", "os:ana", ours=True, trusted=True, read=False, write=False)


@pytest.mark.parametrize(
    ("change", "found", "mended"),
    [
        ({}, [], ()),
        ({"read": True}, ["database-readable"], ("chmod", "600", "/x")),
        ({"read": True, "write": True}, ["database-writable"], ("chmod", "600", "/x")),
        ({"role": Role.KEY, "read": True}, ["key-readable"], ("chmod", "600", "/x")),
        ({"role": Role.POLICY, "read": True}, [], ()),
        ({"role": Role.POLICY, "write": True}, ["policy-writable"], ("chmod", "go-w", "/x")),
        ({"role": Role.FOLDER, "read": True}, [], ()),
        ({"role": Role.FOLDER, "write": True}, ["folder-writable"], ("chmod", "go-w", "/x")),
        ({"role": Role.FOLDER, "write": True, "ours": False}, ["folder-writable"], ()),
        ({"ours": False, "trusted": False}, ["database-of-another"], ("chown", "ana", "/x")),
        ({"ours": False, "trusted": True}, [], ()),
    ],
)
def test_t17_what_other_accounts_can_do_with_a_file(
    change: dict[str, Any], found: list[str], mended: tuple[str, ...]
) -> None:
    findings = file_findings(replace(STORAGE, accesses=(replace(MINE, **change),)))
    assert codes(findings, Severity.UNSAFE) == codes(findings) == found
    for finding in findings:
        assert finding.mend[0].shell == mended
        assert mended or finding.mend[0].line == "MCP_HITL_DB=/home/ana/hitl.db"


def test_where_the_files_lie_and_the_key_comes_from() -> None:
    assert codes(file_findings(replace(STORAGE, network="nfs4")), Severity.UNSAFE) == ["network-file-system"]
    assert codes(file_findings(replace(STORAGE, key_variable="X", checked=False)), Severity.NOTE) == [
        "key-in-environment",
        "rights-not-checked",
    ]


DESKTOP = Client("Claude Desktop", "1.2", "2025-11-25", Transport.STDIO, forms=False, url=False)


def test_how_an_approval_is_delivered_to_each_client() -> None:
    minutes_ago = Acquaintance(DESKTOP, START, START - timedelta(minutes=3))
    assert heading(minutes_ago, START) == "Claude Desktop 1.2 (stdio, 2025-11-25, last seen 3 minutes ago)"
    assert delivery(DESKTOP, Rulebook()) == (
        "cannot show forms: the tools return `pending`, and a person decides in the inbox or the terminal"
    )
    pages = delivery(replace(DESKTOP, url=True), Rulebook())
    assert pages.startswith("opens pages: ") and pages.endswith("if no inbox is running, `pending`")
    assert delivery(replace(DESKTOP, url=True, forms=True), Rulebook()).endswith(
        "no inbox is running, a form in the client"
    )
    forms = delivery(replace(DESKTOP, forms=True), Rulebook())
    assert forms.startswith("shows forms: `approve`, `reject`") and "`local`" in forms and "payment" not in forms
    assert "not enough for the kind payment" in delivery(replace(DESKTOP, forms=True), parse(SAFE).rulebook)


@pytest.mark.parametrize(
    ("transport", "text", "found"),
    [
        (Transport.STDIO, "", []),
        (Transport.HTTP, "", ["http-for-everybody"]),
        (Transport.HTTP, SAFE, []),
        (Transport.HTTP, SAFE + 'assurance = "local"', []),
    ],
    ids=["stdio", "http", "signed in", "one account"],
)
def test_http_is_for_everybody_where_being_at_the_machine_is_enough(
    transport: Transport, text: str, found: list[str]
) -> None:
    met = [Acquaintance(replace(DESKTOP, transport=transport), START, START)]
    assert codes(connection_findings(met, parse(text).rulebook, HERE), Severity.UNSAFE) == found
