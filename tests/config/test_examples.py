"""The example policies are correct, and judge these payloads as their comments say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcp_hitl.config.policy_file import read
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.present.explanation import explain

EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
FINANCE = ["ana@example.com", "bo@example.com", "dee@example.com"]
EDITORS = ["eve@example.com", "fox@example.com", "gus@example.com"]
OWNERS = ["gil@example.com", "hana@example.com", "jo@example.com"]

LUNCH: JsonObject = {"amount": 19.9, "currency": "USD", "description": "Lunch"}
TRANSFER: JsonObject = {
    "payee": "Paper Ltd", "iban": "DE02120300000000202051", "amount": 900, "currency": "EUR", "invoice": "4711",
}  # fmt: skip
POST: JsonObject = {"site": "www", "headline": "We moved", "body": "To a bigger house."}
MAIL: JsonObject = {"to": ["eve@example.com"], "subject": "Draft", "body": "Please read."}
ROWS: JsonObject = {"system": "test", "table": "users", "filter": "id = 7", "rows": 1}
DUMP: JsonObject = {"dataset": "orders", "destination": "sftp.example.com", "personal_data": False}
GRANT: JsonObject = {
    "who": "os:mia", "resource": {"name": "db", "stage": "dev"}, "role": "reader", "hours": 8, "reason": "To look.",
}  # fmt: skip


@dataclass(frozen=True)
class Story:
    """A payload, what becomes of it at once, by which rule, and who is asked otherwise (quorum and people)."""

    told: str
    file: str
    kind: str
    payload: JsonObject
    ending: str
    rule: str | None = None
    stages: tuple[tuple[int, list[str]], ...] = ()


def held(told: str, file: str, kind: str, payload: JsonObject, *stages: tuple[int, list[str]], rule: str = "") -> Story:
    return Story(told, file, kind, payload, "held", rule or None, stages)


MONEY, TEXTS, DATA, ACCESS = (
    "expenses-and-payments", "publishing-and-email", "bulk-deletion-and-export", "access",
)  # fmt: skip
STORIES = [
    Story("a lunch is petty cash", MONEY, "expense", LUNCH, "approved", "petty cash"),
    held("25 is no petty cash any more", MONEY, "expense", {**LUNCH, "amount": 25}, (1, FINANCE)),
    held("a lunch in another currency", MONEY, "expense", {**LUNCH, "currency": "JPY", "amount": 19}, (1, FINANCE)),
    held(
        "a large sum",
        MONEY,
        "expense",
        {**LUNCH, "amount": 5000},
        (2, FINANCE),
        (1, ["cy@example.com", "dee@example.com"]),
        rule="large",
    ),
    Story("an amount as text", MONEY, "expense", {**LUNCH, "amount": "19.9"}, "refused"),
    Story("no amount at all", MONEY, "expense", {"currency": "USD", "description": "Lunch"}, "refused"),
    held("a transfer needs two of finance", MONEY, "payment", TRANSFER, (2, FINANCE)),
    Story("a transfer without an invoice", MONEY, "payment", {**TRANSFER, "invoice": ""}, "refused"),
    Story("staging is for trying", TEXTS, "publish", {**POST, "site": "staging"}, "approved", "staging"),
    held("the public site", TEXTS, "publish", POST, (1, EDITORS)),
    held(
        "a press release",
        TEXTS,
        "publish",
        {**POST, "site": "press"},
        (1, EDITORS),
        (1, ["lee@example.com"]),
        rule="press releases",
    ),
    Story("a site nobody has heard of", TEXTS, "publish", {**POST, "site": "evil"}, "refused"),
    Story("mail to a colleague", TEXTS, "email", MAIL, "approved", "to colleagues"),
    held("mail to anybody else", TEXTS, "email", {**MAIL, "to": ["eve@example.com", "x@evil.example"]}, (1, EDITORS)),
    held(
        "mail with an attachment, to a colleague too",
        TEXTS,
        "email",
        {**MAIL, "attachments": ["plans.pdf"]},
        (1, EDITORS),
        rule="with attachments",
    ),
    held(
        "mail to many",
        TEXTS,
        "email",
        {**MAIL, "to": [f"c{n}@example.com" for n in range(50)]},
        (2, EDITORS),
        (1, ["lee@example.com"]),
        rule="mass mail",
    ),
    Story("mail to nobody", TEXTS, "email", {**MAIL, "to": []}, "refused"),
    Story("a row of the test system", DATA, "delete", ROWS, "approved", "test rows"),
    held("1,001 rows of it", DATA, "delete", {**ROWS, "rows": 1001}, (1, OWNERS)),
    held("a row of production", DATA, "delete", {**ROWS, "system": "production"}, (1, OWNERS)),
    held("many rows", DATA, "delete", {**ROWS, "rows": 10_000}, (2, OWNERS), rule="many rows"),
    Story(
        "the audit log, in the test system too",
        DATA,
        "delete",
        {**ROWS, "table": "audit_log"},
        "rejected",
        "never the audit log",
    ),
    Story("a count that is no count", DATA, "delete", {**ROWS, "rows": 0.5}, "refused"),
    held("an export of plain data", DATA, "export", DUMP, (1, OWNERS)),
    held(
        "an export of personal data",
        DATA,
        "export",
        {**DUMP, "personal_data": True},
        (1, OWNERS),
        (1, ["ivo@example.com"]),
        rule="personal data",
    ),
    Story("an export that does not say", DATA, "export", {**DUMP, "personal_data": "no"}, "refused"),
    Story("a reader in dev", ACCESS, "grant", GRANT, "approved", "reading in dev"),
    held("a reader for longer", ACCESS, "grant", {**GRANT, "hours": 9}, (1, ["local"])),
    held("a writer in dev", ACCESS, "grant", {**GRANT, "role": "writer"}, (1, ["local"])),
    held(
        "an owner of a live system",
        ACCESS,
        "grant",
        {**GRANT, "role": "owner", "resource": {"name": "db", "stage": "live"}},
        (2, ["os:kim", "os:lou"]),
        rule="owners of live systems",
    ),
    Story("a system of no known stage", ACCESS, "grant", {**GRANT, "resource": {"name": "db"}}, "refused"),
    held("access taken away", ACCESS, "revoke", {"who": "x", "resource": "y", "role": "owner"}, (1, ["local"])),
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.told)
def test_the_example_judges(story: Story) -> None:
    explained = explain(read(EXAMPLES / f"{story.file}.toml").rulebook, story.kind, story.payload).shape()
    assert explained["outcome"] == story.ending
    assert explained.get("rule") == story.rule
    if story.ending == "held":
        assert [(stage["quorum"], stage["people"]) for stage in explained["stages"]] == list(story.stages)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_each_example_is_correct_and_each_of_its_rules_has_a_story(path: Path) -> None:
    rulebook = read(path, check_flows=True).rulebook
    told: set[Any] = {(story.kind, story.rule) for story in STORIES if story.file == path.stem}
    assert {(kind.name, rule.name) for kind in rulebook.kinds.values() for rule in kind.rules} <= told


def test_there_is_an_example_for_each_use() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.toml")} == {MONEY, TEXTS, DATA, ACCESS}
