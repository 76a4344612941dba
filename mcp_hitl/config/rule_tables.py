"""Reads rules: a condition on the payload, and what happens to the payloads that satisfy it."""

from dataclasses import replace

from mcp_hitl.config.condition_schemas import check_schema
from mcp_hitl.config.loose_rules import check_approving
from mcp_hitl.config.mistakes import inside, unknown
from mcp_hitl.config.stage_tables import check_numbers, read_stages
from mcp_hitl.config.table import Table
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.text import visible

MAX_NAME = 100


def read_rules(
    table: Table, kind: Kind, schema: JsonObject | None, people: People, *, decides: bool
) -> tuple[Rule, ...] | None:
    """Return the rules of a kind, in order; `schema` is the kind's own, None if it has a mistake already."""
    tables = table.tables("rules")
    if tables is None:
        return None
    rules: list[Rule] = []
    for number, each in enumerate(tables, start=1):
        rule = _read_rule(each, f"rule {number}", kind, schema, people)
        if any(rule.name == other.name for other in rules):
            each.expect("name", f"must be unique: an earlier rule is called {rule.name!r}")
        if rule.decide is Verdict.APPROVE and not decides:
            each.expect("decide", f"must not be 'approve': a {kind.name} needs an answer, and a rule cannot give one")
        rules.append(rule)
    return tuple(rules)


def _read_rule(table: Table, name: str, kind: Kind, schema: JsonObject | None, people: People) -> Rule:
    name = table.text("name") or name
    if visible(name) != name or len(name) > MAX_NAME:
        table.expect("name", f"must be plain text of at most {MAX_NAME} characters")
    verdict = table.choice("decide", list(Verdict))
    stages = read_stages(table, people, kind.timeout)
    if stages:
        check_numbers(table, replace(kind.policy, stages=stages), people)
    most = table.count("max_per_day")
    if "max_per_day" in table and table.content.get("decide") != Verdict.APPROVE:
        table.expect("max_per_day", "needs decide = 'approve' in the same rule: it limits how many the rule approves")
    if ("decide" in table) == ("stages" in table):
        table.mistakes.add(table.place, "must have either decide or stages: a rule decides itself, or says who does")
    when = table.json("when")
    table.close()
    if "when" not in table:
        table.expect("when", "must be given: the JSON Schema of the payloads that the rule applies to")
    elif when is not None and check_schema(when, table.at("when"), table.mistakes) and schema is not None:
        _check_fields(table, when, schema)
        if verdict is Verdict.APPROVE:
            check_approving(when, schema, table.at("when"), table.mistakes)
    return Rule(name=name, when=when or {}, decide=verdict, stages=stages or (), max_per_day=most)


def _check_fields(table: Table, when: JsonObject, schema: JsonObject) -> None:
    """Note fields that no payload of the kind can have: with them, the rule would never apply, or always."""
    if schema.get("additionalProperties") is not False or "patternProperties" in schema:
        return
    known: JsonObject = schema.get("properties", {})
    for name in when.get("properties", {}):
        if name not in known:
            place = inside(table.at("when"), "properties", name)
            table.mistakes.add(place, unknown(name, known, "field: the kind's schema allows no others"))
