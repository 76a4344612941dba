"""Whether a database is sound: the constraints, indexes and triggers of its tables are those that this program made.

The server itself looks after the rest: it keeps indexes and foreign keys, and checks its pages if its checksums are on.
"""

import re
from collections import Counter
from typing import Any

from mcp_hitl.store.postgres.schema import MIGRATIONS
from mcp_hitl.store.sql.counts import fault_in_counts
from mcp_hitl.store.sql.database import Database

_OURS = "'mcp_hitl'::regnamespace"
_TRIGGERS = (
    "SELECT tgname::text, relname::text, tgtype::bigint, tgenabled::text, encode(tgargs, 'escape'), "
    "tgfoid::regproc::text, pg_get_triggerdef(pg_trigger.oid) "
    "FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
    f"WHERE relnamespace = {_OURS} AND NOT tgisinternal"
)
_INDEXES = (
    "SELECT relname::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
    f"WHERE relnamespace = {_OURS} AND indisvalid AND indisready"
)
_CONSTRAINTS = (
    "SELECT relname::text, count(*) FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid "
    f"WHERE connamespace = {_OURS} AND convalidated AND contype IN ('c', 'f', 'p', 'u') GROUP BY 1"
)
_FUNCTIONS = f"SELECT proname::text, prosrc FROM pg_proc WHERE pronamespace = {_OURS}"

_SCRIPT = "".join(MIGRATIONS)
_TABLE = re.compile(r"CREATE TABLE (\w+) \((.*?)\);", re.DOTALL)
_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX (\w+)")
_TRIGGER = re.compile(
    r"CREATE TRIGGER (\w+) (BEFORE|AFTER) (\w+)[^;]*? ON (\w+)( FOR EACH ROW)?\s*(WHEN [^;]*)?"
    r"EXECUTE FUNCTION (\w+)\((?:'([^']*)')?\)"
)
_FUNCTION = re.compile(r"FUNCTION (\w+)\(\) RETURNS trigger LANGUAGE plpgsql AS \$\$(.*?)\$\$", re.DOTALL)
_CONSTRAINT = re.compile(r"\b(?:CHECK|REFERENCES|PRIMARY KEY|UNIQUE)\b")
_BITS = {"INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}
"""The bits of an event in `pg_trigger.tgtype`; 1 is for each row, 2 is before."""


def fault_in(db: Database) -> str | None:
    """Return the first fault; None if there is none."""
    held = Counter(dict(db.execute(_CONSTRAINTS)))
    for table, columns in _TABLE.findall(_SCRIPT):
        if held[table] != len(_CONSTRAINT.findall(columns)):
            return f"the table “{table}” has not the constraints that this program made"
    indexes = {row[0] for row in db.execute(_INDEXES)}
    for name in _INDEX.findall(_SCRIPT):
        if name not in indexes:
            return f"the schema lacks the index “{name}”"
    return _fault_in_triggers(db) or fault_in_counts(db)


def _fault_in_triggers(db: Database) -> str | None:
    ours = {parts[0]: _as_held(*parts) for parts in _TRIGGER.findall(_SCRIPT)}
    tables = {table for table, _ in _TABLE.findall(_SCRIPT)}
    held: dict[Any, Any] = {row[0]: (*row[1:-1], _bare(_condition(row[-1]))) for row in db.execute(_TRIGGERS)}
    for name, trigger in ours.items():
        if held.get(name) != trigger:
            return f"the schema lacks the trigger “{name}” as this program made it"
    for name, trigger in held.items():
        if name not in ours and trigger[0] in tables:
            return f"the schema has the trigger “{name}”, which this program did not make"
    functions = dict(db.execute(_FUNCTIONS))
    for name, body in _FUNCTION.findall(_SCRIPT):
        if functions.get(name) != body:
            return f"the function “{name}” is not as this program made it"
    return None


def _as_held(
    _: str, moment: str, event: str, table: str, each_row: str, when: str, function: str, text: str
) -> tuple[object, ...]:
    bits = _BITS[event] | (2 if moment == "BEFORE" else 0) | (1 if each_row else 0)
    return table, bits, "O", f"{text}\\000" if text else "", function, _bare(when)


def _condition(definition: str) -> str:
    found = re.search(r" WHEN (.*) EXECUTE ", definition, re.DOTALL)
    return f"WHEN {found[1]}" if found else ""


def _bare(condition: str) -> str:
    """Return a condition without what the server adds to it: parentheses, types, spaces."""
    return re.sub(r"::text|[()\s]", "", condition).lower()
