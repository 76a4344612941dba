"""Every mistake in a policy file is told with its place and what was expected, all of them at once."""

import sys
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_hitl.config.mistakes import InvalidPolicy
from mcp_hitl.config.policy_file import parse, read
from mcp_hitl.domain.values.errors import HitlError, Invalid

PEOPLE = """
[people]
finance = ["ana", "bo"]
managers = ["cy"]
[aliases]
"ana" = ["ana.b"]
"""
SCHEMA = (
    'schema = { type = "object", properties = { amount = { type = "number" }, to = { type = "string" }, '
    'any = {}, pin = { type = "string", writeOnly = true } } }\n'
)
LENGTH = "must be a length of time such as '7 days', '1 hour', '30 minutes' or 'PT90M'"


def mistakes(text: str) -> list[str]:
    """What is wrong with a policy, a line each; nothing where it is right."""
    try:
        parse(text)
    except InvalidPolicy as error:
        return [str(mistake) for mistake in error.mistakes]
    return []


def kind(lines: str) -> str:
    """A policy of people, and one kind with these lines."""
    return f"{PEOPLE}\n[kinds.pay]\n{SCHEMA if 'schema' not in lines else ''}{lines}"


def rule(when: str, rest: str = 'decide = "approve"') -> str:
    return kind(f"[[kinds.pay.rules]]\nwhen = {when}\n{rest}")


TOP: list[tuple[str, str]] = [
    ('profile = "duo"', "profile: must be 'solo' or 'team'"),
    ("profile = 1", "profile: must be text in quotes"),
    ('unattended = "yes"', "unattended: must be true or false, without quotes"),
    ('retention = "long"', f"retention: {LENGTH}"),
    ('profil = "solo"', "profil: is an unknown key; did you mean 'profile'?"),
    ("zzz = 1", "zzz: is an unknown key; known are aliases, kinds, people, profile, retention, unattended"),
    ("people = 1", "people: must be a table"),
    ("kinds.pay = 1", "kinds.pay: must be a table"),
    ('people.finance = "ana"', "people.finance: must be a list of texts in quotes"),
    ("people.finance = [1]", "people.finance[0]: must fit a list of texts in quotes"),
    ("people.finance = []", "people.finance: must name at least one person"),
    ('people.finance = ["group:x"]', "people.finance[0]: must be one person's id: groups cannot contain groups"),
    (
        'people.finance = ["local"]',
        "people.finance[0]: must be one person's id: 'local' means anyone at the machine; only an approver",
    ),
    ('people.finance = ["a\\u200bna"]', "people.finance[0]: must be a plain name of 1 to 200 characters"),
    ('people."" = ["ana"]', 'people."": must be a plain name of 1 to 200 characters'),
    ('aliases.ana = ["ana"]', "aliases.ana[0]: must be another account: this is the person's own id"),
    (
        'aliases.bo = ["x"]\naliases.ana = ["x"]',
        "aliases.ana[0]: must belong to one person: it is already an alias of 'bo'",
    ),
    (
        'aliases.ana = ["bo"]\naliases.bo = ["cy"]',
        "aliases.ana[0]: must not be a person with aliases; list those accounts under ana",
    ),
    ('kinds.Pay.schema = { type = "object" }', "kinds.Pay: must be named by a-z, 0-9, '_' and '-', beginning with a"),
    ("[kinds.pay]", "kinds.pay.schema: must be given: the JSON Schema of the payload"),
    ('profile = "team"\n[kinds.expense]', "kinds.expense.stages: must be given: in the profile 'team' there are no "),
]
KINDS: list[tuple[str, str]] = [
    ("title = ''", "kinds.pay.title: must not be empty"),
    (
        "title = 'Pay {amuont}'",
        "kinds.pay.title: {amuont} is an unknown field under properties of the schema; did you mean",
    ),
    (
        "title = 'Pay {}'",
        "kinds.pay.title: {} is an unknown field under properties of the schema; known are amount, any, ",
    ),
    ("title = 'Pay {amount'", "kinds.pay.title: must have fields such as {amount}; write a literal brace twice"),
    ("title = 'Pay {amount:.2f}'", "kinds.pay.title: must have fields as plain {name}, without ':' or '!': 'amount'"),
    ("title = 'Pay {amount!r}'", "kinds.pay.title: must have fields as plain {name}, without ':' or '!': 'amount'"),
    ("title = 'PIN {pin}'", "kinds.pay.title: {pin} must not be in a title: the schema marks it writeOnly"),
    (
        "title = '{a}'\nschema = { properties = { a = { properties = { pin = { writeOnly = true } } } } }",
        "kinds.pay.title: {a} must not be in a title: the schema marks it writeOnly",
    ),
    (
        "schema = { properties = { a = { '$ref' = '#/$defs/s' } }, '$defs' = { s = { writeOnly = true } } }",
        "kinds.pay.schema.$defs.s.writeOnly: must be directly under properties or items, otherwise it hides nothing",
    ),
    ("timeout = 7", "kinds.pay.timeout: must be a length of time in quotes, such as '7 days'"),
    ("timeout = '7 moons'", f"kinds.pay.timeout: {LENGTH}"),
    ("timeout = '0 days'", f"kinds.pay.timeout: {LENGTH}"),
    (f"timeout = 'P{'9' * 5000}D'", "kinds.pay.timeout: must be at most ten years"),
    ("valid_for = '-1 day'", f"kinds.pay.valid_for: {LENGTH}"),
    ("cooldown = 'never'", f"kinds.pay.cooldown: {LENGTH}"),
    ("remind_after = '4 hours'", "kinds.pay.remind_after: must be a list of lengths of time in quotes, such as"),
    ("remind_after = ['4 hours', 'x']", f"kinds.pay.remind_after[1]: {LENGTH}"),
    ("timeout = '1 day'\nremind_after = ['24 hours']", "kinds.pay.remind_after[0]: must be shorter than the timeout"),
    ("assurance = 'none'", "kinds.pay.assurance: must be 'local' or 'session' or 'step-up'"),
    ("four_eyes = 1", "kinds.pay.four_eyes: must be true or false, without quotes"),
    ("editor_may_approve = 'no'", "kinds.pay.editor_may_approve: must be true or false, without quotes"),
    ("rejections = 0", "kinds.pay.rejections: must be a whole number of at least 1"),
    ("rejections = true", "kinds.pay.rejections: must be a whole number of at least 1"),
    (
        "rejections = 2",
        "kinds.pay.rejections: must let every stage's people reject: rejections is 2, but one stage has ",
    ),
    ("quorum = 2", "kinds.pay.quorum: is an unknown key; known are "),
    ("limits = 5", "kinds.pay.limits: must be a table"),
    ("limits = { per_minute = 0 }", "kinds.pay.limits.per_minute: must be a whole number of at least 1"),
    (
        "limits = { per_hour = 9 }",
        "kinds.pay.limits.per_hour: is an unknown key; known are open_bytes, open_per_requester, "
        "payload_bytes, per_minute",
    ),
    (
        "form = { properties = { a = { type = 'object' } } }",
        "kinds.pay.form: form field 'a' must have a type of string",
    ),
    ("form = { properties = { a = { default = 2026-01-01 } } }", "kinds.pay.form: must be JSON: form.properties.a.d"),
    ("flow = 'pay'", "kinds.pay.flow: must be 'package.module:Class', or 'none'"),
    ("flow = '.pay:Flow'", "kinds.pay.flow: must be 'package.module:Class', or 'none'"),
    ("schema = 'object'", "kinds.pay.schema: must be a table, such as { properties = { … } }"),
    ("schema = { type = 'strin' }", "kinds.pay.schema.type: must be 'array', 'boolean', 'integer', 'null', 'number'"),
    ("schema = { type = 'string' }", "kinds.pay.schema: must be for an object: type = 'object'"),
    ("schema = { properties = { a = { maximum = '5' } } }", "kinds.pay.schema.properties.a.maximum: must be a numbe"),
    ("schema = { properties = { a = 5 } }", "kinds.pay.schema.properties.a: must be a table or true or false"),
    ("schema = { properties = { a = { maximum = inf } } }", "kinds.pay.schema: must be JSON: schema.properties.a.ma"),
    (
        "schema = { properties = { a = { pattern = '(' } } }",
        "kinds.pay.schema.properties.a.pattern: must be a regular expression that RE2 supports: look-around",
    ),
    (
        "schema = { properties = { a = { pattern = '^(?!b)' } } }",
        "kinds.pay.schema.properties.a.pattern: must be a regular expression that RE2 supports: look-around and ref",
    ),
    (
        "schema = { patternProperties = { '(a)\\1' = {} } }",
        "kinds.pay.schema.patternProperties: must be a regular expression that RE2 supports: look-around and referen",
    ),
    (
        "schema = { patternProperties = { a = {} }, unevaluatedProperties = false }",
        "kinds.pay.schema.unevaluatedProperties: must be additionalProperties in a schema with patternProperties",
    ),
    ("schema = { properties = { a = { minLength = -1 } } }", "kinds.pay.schema.properties.a.minLength: must be at l"),
    ("schema = { properties = { a = { multipleOf = 0 } } }", "kinds.pay.schema.properties.a.multipleOf: must be gre"),
    ("schema = { required = ['a', 'a'] }", "kinds.pay.schema.required: must not list anything twice"),
    ("schema = { '$anchor' = '1' }", "kinds.pay.schema.$anchor: must be valid JSON Schema 2020-12"),
    ("schema = { allOf = [] }", "kinds.pay.schema.allOf: must not be empty"),
    ("schema = { requierd = ['a'] }", "kinds.pay.schema.requierd: is an unknown keyword; di"),
    ("schema = { definitions = {} }", "kinds.pay.schema.definitions: is an unknown keyword"),
    ("schema = { '$id' = 'https://x.example/s' }", "kinds.pay.schema.$id: is an unknown keyword"),
    ("schema = { '$schema' = 'http://json-schema.org/draft-04/schema#' }", "kinds.pay.schema.$schema: must be https"),
    (
        "schema = { properties = { a = { format = 'isbn' } } }",
        "kinds.pay.schema.properties.a.format: must be a supported ",
    ),
    ("schema = { '$ref' = 'https://x.example/s' }", "kinds.pay.schema.$ref: must stay in this schema ('#/$defs/…'):"),
    ("schema = { '$ref' = 'other.json' }", "kinds.pay.schema.$ref: must stay in this schema ('#/$defs/…'): nothing "),
    ("schema = { '$ref' = '#/$defs/gone' }", "kinds.pay.schema.$ref: must lead to a schema in this schema"),
    ("schema = { '$ref' = '#/type', type = 'object' }", "kinds.pay.schema.$ref: must lead to a schema in this schem"),
    ("schema = { '$ref' = '#/allOf/7', allOf = [{}] }", "kinds.pay.schema.$ref: must lead to a schema in this schem"),
    ("schema = { '$ref' = '#' }", "kinds.pay.schema: must not refer to itself, except inside a field or an item"),
    ("schema = { anyOf = [{ not = { '$ref' = '#' } }] }", "kinds.pay.schema: must not refer to itself, except inside"),
    (
        "schema = { allOf = [{ properties = { pin = { writeOnly = true } } }] }",
        "kinds.pay.schema.allOf[0].properties.pin.writeOnly: must be directly under properties or items, otherwise ",
    ),
    ("stages = 1", "kinds.pay.stages: must be a list of tables"),
    ("stages = []", "kinds.pay.stages: must have at least one stage"),
    ("stages = [1]", "kinds.pay.stages[0]: must fit a list of tables"),
    ("stages = [{}]", "kinds.pay.stages[0].approvers: must be given: people's ids, 'group:NAME' or 'local'"),
    ("stages = [{ approvers = [] }]", "kinds.pay.stages[0].approvers: must name at least one approver"),
    (
        "stages = [{ approvers = ['group:finanse'] }]",
        "kinds.pay.stages[0].approvers[0]: 'finanse' is an unknown group under [people]; did you mean 'finance'?",
    ),
    (
        "stages = [{ approvers = ['finance'] }]",
        "kinds.pay.stages[0].approvers[0]: names a group; write 'group:finance'",
    ),
    ("stages = [{ approvers = ['cy', ''] }]", "kinds.pay.stages[0].approvers[1]: must be a plain name of 1 to 200 c"),
    ("stages = [{ approvers = ['cy'], quorum = 0 }]", "kinds.pay.stages[0].quorum: must be a whole number of at lea"),
    (
        "stages = [{ approvers = ['cy'], quorum = 2 }]",
        "kinds.pay.stages[0].quorum: must be at most 1, the number of peopl",
    ),
    (
        "stages = [{ approvers = ['ana', 'ana.b', 'group:finance'], quorum = 3 }]",
        "kinds.pay.stages[0].quorum: must be at most 2, the number of people this stage names",
    ),
    (
        "stages = [{ approvers = ['cy'], quorum = 2, escalate = [{ after = '1 hour', to = ['ana'] }] }]",
        "kinds.pay.stages[0].quorum: must be at most 1, the number of people this stage names",
    ),
    (
        "stages = [{ approvers = ['cy'], escalate = [{ after = '7 days', to = ['ana'] }] }]",
        "kinds.pay.stages[0].escalate[0].after: must be shorter than the timeout: nothing happens after that",
    ),
    (
        "stages = [{ approvers = ['cy'], escalate = [{ to = ['ana'] }] }]",
        "kinds.pay.stages[0].escalate[0].after: must be given: how long the stage waits before it escalates",
    ),
    (
        "stages = [{ approvers = ['cy'], escalate = [{ after = '1 hour' }] }]",
        "kinds.pay.stages[0].escalate[0].to: must be given: people's ids, 'group:NAME' or 'local'",
    ),
    (
        "stages = [{ approvers = ['cy'], quroum = 1 }]",
        "kinds.pay.stages[0].quroum: is an unknown key; did you mean 'qu",
    ),
]
RULES: list[tuple[str, str]] = [
    (kind("[[kinds.pay.rules]]\ndecide = 'reject'"), "kinds.pay.rules[0].when: must be given: the JSON Schema of th"),
    (rule("{}", ""), "kinds.pay.rules[0]: must have either decide or stages: a rule decides itself, or says who does"),
    (rule("{}", "decide = 'reject'\nstages = [{ approvers = ['cy'] }]"), "kinds.pay.rules[0]: must have either deci"),
    (rule("{}", "decide = 'maybe'"), "kinds.pay.rules[0].decide: must be 'approve' or 'reject'"),
    (rule("{}", "decide = 'reject'\nmax_per_day = 1"), "kinds.pay.rules[0].max_per_day: needs decide = "),
    (
        rule("{}", "stages = [{ approvers = ['group:x'] }]"),
        "kinds.pay.rules[0].stages[0].approvers[0]: 'x' is an unknown group",
    ),
    (rule("{ type = 1 }", "decide = 'reject'"), "kinds.pay.rules[0].when.type: must be 'array', 'boolean', 'integer"),
    (rule("{}", "decide = 'reject'\nname = 'a\\u202eb'".replace("'", '"')), "kinds.pay.rules[0].name: must be plain"),
    (
        rule("{}", "decide = 'reject'") + "\n[[kinds.pay.rules]]\nname = 'rule 1'\nwhen = {}\ndecide = 'reject'",
        "kinds.pay.rules[1].name: must be unique: an earlier rule is called 'rule 1'",
    ),
    (
        "[[kinds.expense.rules]]\nwhen = { properties = { amuont = { const = 1 } } }\ndecide = 'reject'",
        "kinds.expense.rules[0].when.properties.amuont: is an unknown field: the kind's schema allows no others; did ",
    ),
    (
        "[[kinds.question.rules]]\nwhen = { properties = { question = { const = 'x' } }, required = ['question'] }\n"
        "decide = 'approve'",
        "kinds.question.rules[0].decide: must not be 'approve': a question needs an answer, and a rule cannot give one",
    ),
    (
        "kinds.counter.schema = {}",
        "kinds.counter.schema: must be left out: the tool that asks a counter brings its own",
    ),
    ("kinds.question.flow = 'a:B'", "kinds.question.flow: must be left out: the tool that asks a question brings it"),
    (
        "kinds.expense.schema = { properties = { amount = { type = 'number' }, currency = { type = 'string' }, "
        "description = { type = 'string' } }, required = ['amount'] }",
        "kinds.expense.schema: must require a field 'currency' with type = 'string', because the code checks it",
    ),
]
PAST_A_RULE: list[tuple[str, str]] = [
    ("{}", "when.properties: must name the fields that a payload is approved for"),
    ("{ properties = {} }", "when.properties: must name the fields that a payload is approved for"),
    ("{ properties = { amount = { maximum = 5 } } }", "when.required: must name 'amount': a payload without a field "),
    (
        "{ properties = { amount = {}, any = {} }, required = ['any'] }",
        "when.required: must name 'amount': a payload without a field must not be approved",
    ),
    (
        "{ properties = { any = { type = 'object', properties = { a = {} } } }, required = ['any'] }",
        "when.properties.any.required: must name 'a': a payload without a field must not be approved",
    ),
    (
        "{ properties = { any = {} }, required = ['any'], allOf = [{ properties = { to = {} } }] }",
        "when.allOf[0].required: must name 'to': a payload without a field must not be approved",
    ),
    (
        "{ properties = { any = { '$ref' = '#/$defs/x' } }, required = ['any'], "
        "'$defs' = { x = { type = 'object', properties = { a = {} } } } }",
        "when.properties.any.$ref.required: must name 'a': a payload without a field must not be approved",
    ),
    (
        "{ properties = { any = { maximum = 5 } }, required = ['any'] }",
        "when.properties.any.type: must be 'number' or 'integer' here or in the kind's schema: other types would pass",
    ),
    (
        "{ properties = { any = { properties = { a = {} }, required = ['a'] } }, required = ['any'] }",
        "when.properties.any.type: must be 'object' here or in the kind's schema: other types would pass 'properties'",
    ),
    (
        "{ properties = { any = { type = ['number', 'string'], maximum = 5 } }, required = ['any'] }",
        "when.properties.any.type: must be 'number' or 'integer' here or in the kind's schema: other types would pass",
    ),
    (
        "{ properties = { any = { type = 'array', items = { const = 1 } } }, required = ['any'] }",
        "when.properties.any.minItems: must be at least 1: a list without its items must not be approved",
    ),
    (
        "{ properties = { any = { type = 'array', minItems = 1, items = {}, prefixItems = [{}, {}] } }, "
        "required = ['any'] }",
        "when.properties.any.minItems: must be at least 2: a list without its items must not be approved",
    ),
    (
        "{ properties = { any = { type = 'array', minItems = 1, items = { maxLength = 5 } } }, required = ['any'] }",
        "when.properties.any.items.type: must be 'string' here or in the kind's schema: other types would pass 'maxLen",
    ),
    (
        "{ properties = { to = { pattern = 'example' } }, required = ['to'] }",
        "when.properties.to.pattern: must begin with ^ and end with $, or any part of the text may satisfy it",
    ),
    *(
        (
            f"{{ properties = {{ to = {{ pattern = '{pattern}' }} }}, required = ['to'] }}",
            "when.properties.to.pattern: must begin with ^ and end with $, or any part of the text may satisfy it",
        )
        for pattern in (
            *("^alice|bob$", r"^price: \$", "^a$|^b$", "^(?m)a$", "^(?im)a$"),
            *("^[[:alpha:](]a|b$", "^[](]a|b$", "^[^](]a|b$", r"^\Q(\Ea|b\Q)\E$", "^*ok$", "^?ok$", "^{0}ok$"),
        )
    ),
    (
        "{ properties = { any = { type = 'array', minItems = 1, contains = { const = 1 } } }, required = ['any'] }",
        "when.properties.any.contains: must be written as items with minItems = 1: one item that fits would allow all",
    ),
    (
        "{ properties = { any = { type = 'array', minItems = 1, prefixItems = [{}] } }, required = ['any'] }",
        "when.properties.any.items: must be false, or say what may follow: prefixItems lets anything follow",
    ),
    *(
        (
            f"{{ properties = {{ to = {{}} }}, required = ['to'], anyOf = [{{ const = 1 }}, {empty}], "
            "'$defs' = { all = {} } }",
            "when.anyOf[1]: must restrict something, or be left out: everything satisfies it",
        )
        for empty in ("{}", "true", "{ title = 'Else' }", "{ '$ref' = '#/$defs/all' }")
    ),
    *(
        (f"{{ properties = {{ to = {{}} }}, required = ['to'], {loose} }}", f"when.{loose.split()[0]}: must not be")
        for loose in (
            "not = { required = ['x'] }", "if = {}", "then = {}", "else = {}", "oneOf = [{}]", "patternProperties = {}",
            "dependentSchemas = {}", "dependentRequired = {}", "propertyNames = {}",
        )
    ),
]  # fmt: skip
SOUND = [
    "{ properties = { amount = { maximum = 5 } }, required = ['amount'] }",
    "{ properties = { any = { type = 'integer', maximum = 5 } }, required = ['any'] }",
    "{ properties = { any = { const = 5 } }, required = ['any'] }",
    "{ properties = { any = true }, required = ['any'] }",
    "{ properties = { to = { pattern = '^a+$' } }, required = ['to'] }",
    "{ properties = { amount = {} }, required = ['amount'], anyOf = [{ properties = { amount = { maximum = 5 } }, "
    "required = ['amount'] }, { properties = { to = { const = 'x' } }, required = ['to'] }] }",
    "{ properties = { any = { '$ref' = '#/$defs/small' } }, required = ['any'], "
    "'$defs' = { small = { type = 'number', maximum = 5 } } }",
    "{ properties = { any = { type = 'array', minItems = 1, items = { const = 1 } } }, required = ['any'] }",
    *(
        f"{{ properties = {{ any = {{ type = 'array', minItems = 1, prefixItems = [{{ const = 1 }}], {end} }} }}, "
        "required = ['any'] }"
        for end in ("items = false", "maxItems = 1")
    ),
]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [*TOP, *((kind(lines), mistake) for lines, mistake in KINDS), *RULES],
    ids=lambda part: part[-90:],
)
def test_a_mistake_is_told_alone_with_its_place_and_what_was_expected(text: str, mistake: str) -> None:
    found = mistakes(text)
    assert len(found) == 1
    assert found[0].startswith(mistake)


@pytest.mark.parametrize(("when", "mistake"), PAST_A_RULE)
def test_t02_a_condition_that_approves_what_is_missing_or_mistyped_is_a_mistake(when: str, mistake: str) -> None:
    assert [found[: len("kinds.pay.rules[0].") + len(mistake)] for found in mistakes(rule(when))] == [
        f"kinds.pay.rules[0].{mistake}"
    ]


@pytest.mark.parametrize(("when", "_"), PAST_A_RULE)
def test_t02_the_same_condition_may_hold_payloads_for_people_or_reject_them(when: str, _: str) -> None:
    assert mistakes(rule(when, "decide = 'reject'")) == []
    assert mistakes(rule(when, "stages = [{ approvers = ['cy'] }]")) == []


@pytest.mark.parametrize("when", SOUND)
def test_t02_a_condition_whose_fields_are_required_and_typed_may_approve(when: str) -> None:
    assert mistakes(rule(when)) == []


def test_a_kinds_own_types_count_for_its_conditions_through_references_and_items_too() -> None:
    text = """
    [kinds.pay]
    schema = { properties = { a = { "$ref" = "#/$defs/many" } }, "$defs" = { many = { type = "array", minItems = 1, items = { type = "object", properties = { n = { enum = [1, 2] } } } } } }
    rules = [{ when = { properties = { a = { items = { properties = { n = { maximum = 1 } }, required = ["n"] } } }, required = ["a"] }, decide = "approve" }]
    """  # noqa: E501
    assert mistakes(text) == []
    assert len(mistakes(text.replace("[1, 2]", "[1, 'two']"))) == 1


def test_schemas_may_refer_to_themselves_below_hold_booleans_and_keep_secrets_in_lists() -> None:
    schema = """{
        properties = {
            children = { items = { "$ref" = "#" } }, never = false,
            keys = { items = { properties = { pin = { writeOnly = true } } } }
        },
        anyOf = [true, { "$ref" = "#/$defs/a~1b" }],
        "$defs" = { "a/b" = { required = ["never"] } }
    }"""
    assert mistakes(kind("schema = " + schema.replace("\n", " "))) == []


def test_all_mistakes_are_told_together_in_the_order_of_the_file() -> None:
    with pytest.raises(InvalidPolicy) as refused:
        parse(
            """
            profile = "team"
            [people]
            finance = ["ana", 7]
            [kinds.pay]
            timeuot = "1 day"
            schema = { properties = { a = { maximum = "5" } } }
            stages = [{ approvers = ["group:managers"], quorum = 0 }]
            rules = [{ when = { maxmum = 1 }, decide = "aprove" }]
            [kinds.expense]
            """,
            source="team\u202e.toml",
        )
    assert str(refused.value).splitlines() == [
        "team\\u202e.toml has 8 mistakes.",
        "  people.finance[1]: must fit a list of texts in quotes",
        "  kinds.pay.schema.properties.a.maximum: must be a number",
        "  kinds.pay.stages[0].approvers[0]: 'managers' is an unknown group under [people]; known are finance",
        "  kinds.pay.stages[0].quorum: must be a whole number of at least 1",
        "  kinds.pay.rules[0].decide: must be 'approve' or 'reject'",
        "  kinds.pay.rules[0].when.maxmum: is an unknown keyword; did you mean 'maximum'?",
        "  kinds.pay.timeuot: is an unknown key; did you mean 'timeout'?",
        "  kinds.expense.stages: must be given: in the profile 'team' there are no default approvers",
    ]


def test_stages_of_a_team_need_enough_different_people_since_each_counts_once() -> None:
    stages = "[[kinds.expense.stages]]\napprovers = ['group:finance']\nquorum = 2\n"
    again = "[[kinds.expense.stages]]\napprovers = ['ana.b']\n"
    assert mistakes('profile = "team"' + PEOPLE + stages + again) == [
        "kinds.expense.stages: must name 3 different people or more, not 2: each counts in one stage only"
    ]
    assert mistakes(PEOPLE + stages + again) == []


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a = 1\nb = [1,\n", "line 3, column 1: must be TOML: invalid value"),
        ("a = 1\na = 2\n", "line 2, column 6: must be TOML: cannot overwrite a value"),
        ("[kinds.pay", "must be TOML: "),
        ("profile = solo", "line 1, column 11: must be TOML: invalid value"),
        ("a = " + "[" * 5000, "the file: is nested too deeply"),
        ("a = " + "9" * 5000, "the file: must be TOML: "),
    ],
)
def test_what_is_no_toml_is_told_by_line_and_column(text: str, mistake: str) -> None:
    (found,) = mistakes(text)
    assert mistake in found


def test_a_flow_is_imported_only_when_asked_and_every_failure_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flows_of_a_test.py").write_text("class Good: ...\nthing = 1\n")
    (tmp_path / "broken_flows_of_a_test.py").write_text("raise RuntimeError('no\\x1b[2J')\n")
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    text = "\n".join(
        f"[kinds.{name}]\nschema = {{}}\nflow = '{flow}'"
        for name, flow in {
            "a": "flows_of_a_test:Good",
            "b": "flows_of_a_test:Bad",
            "c": "flows_of_a_test:thing",
            "d": "broken_flows_of_a_test:Good",
            "e": "no_such_module_of_a_test:Good",
        }.items()
    )
    assert mistakes(text) == []
    with pytest.raises(InvalidPolicy) as refused:
        parse(text, check_flows=True)
    assert [str(mistake) for mistake in refused.value.mistakes] == [
        "kinds.b.flow: must name a class: flows_of_a_test has no class 'Bad'",
        "kinds.c.flow: must name a class: flows_of_a_test has no class 'thing'",
        "kinds.d.flow: must be importable here: RuntimeError: no\\u001b[2J",
        "kinds.e.flow: must be importable here: ModuleNotFoundError: No module named 'no_such_module_of_a_test'",
    ]


def test_a_file_that_is_missing_no_file_or_no_text_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"There is no policy file at .*gone\.toml\."):
        read(tmp_path / "gone.toml")
    with pytest.raises(Invalid, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# fine\n# caf\xe9\n")
    with pytest.raises(InvalidPolicy, match="line 2: must be text in UTF-8"):
        read(tmp_path / "latin.toml")


def test_a_file_from_windows_with_its_mark_and_line_ends_is_read(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_bytes(b'\xef\xbb\xbfprofile = "solo"\r\nunattended = true\r\n')
    assert read(tmp_path / "policy.toml").rulebook.kinds["action"].policy.unattended


WORDS = st.sampled_from(
    """profile unattended people aliases kinds expense pay title schema flow timeout stages rules when decide approvers
    quorum escalate after to form limits properties required type $ref # #/$defs/a $defs items allOf const team approve
    group:finance local finance ana amount pattern not {amount} P1D""".split()
)
VALUES = st.recursive(
    WORDS | st.booleans() | st.integers(-2, 3) | st.floats() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(WORDS, VALUES, max_size=5) | st.fixed_dictionaries(
    {"kinds": st.dictionaries(WORDS, st.dictionaries(WORDS, VALUES, max_size=6), max_size=2)}
))  # fmt: skip
def test_whatever_the_file_holds_the_answer_is_a_policy_or_its_mistakes(content: dict[str, Any]) -> None:
    try:
        parse(as_toml(content))
    except HitlError as error:
        assert isinstance(error, InvalidPolicy)
        assert error.mistakes and str(error).isprintable() is ("\n" not in str(error))


def as_toml(content: dict[str, Any]) -> str:
    return "\n".join(f"{quoted(key)} = {inline(value)}" for key, value in content.items())


def quoted(text: str) -> str:
    return f'"{text}"'


def inline(value: Any) -> str:
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        return "{" + ", ".join(f"{quoted(key)} = {inline(each)}" for key, each in held.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, cast("list[Any]", value))) + "]"
    return quoted(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
