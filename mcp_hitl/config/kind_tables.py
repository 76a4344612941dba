"""Reads `[kinds.NAME]`: a new kind, or a built-in kind with some keys changed."""

import importlib
import re
from dataclasses import dataclass, replace
from typing import Any

from mcp_hitl.config.condition_schemas import check_schema
from mcp_hitl.config.rule_tables import read_rules
from mcp_hitl.config.stage_tables import check_numbers, check_timing, read_stages
from mcp_hitl.config.table import Table
from mcp_hitl.config.title_templates import check_secrets, check_title
from mcp_hitl.domain.policy import forms
from mcp_hitl.domain.policy.kinds import COUNTER, EXPENSE, QUESTION, Kind, Limits
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Assurance, Policy, Profile
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid

ASKING = frozenset({QUESTION.name, COUNTER.name})
"""Kinds that ask the requester's own person. In either profile, their defaults are those of one person's machine."""
_COUNTED = (("amount", "number"), ("currency", "string"))
"""Fields that the code checks in an expense. The schema must set their types."""
_LIFTABLE = ("open_per_requester", "open_bytes", "per_minute")
"""Limits that a policy may lift with 'none'."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_FLOW = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_TEAM = Policy(
    stages=(), assurance=Assurance.SESSION, four_eyes=True, editor_may_approve=False, one_stage_each=True
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class World:
    """The settings that all kinds of the file share."""

    profile: Profile
    unattended: bool
    people: People
    check_flows: bool

    def begin(self, kind: Kind) -> Kind:
        """Return the kind with the defaults of the profile."""
        policy = kind.policy if self.profile is Profile.SOLO or kind.name in ASKING else _TEAM
        return replace(kind, policy=replace(policy, unattended=self.unattended))


def read_kind(table: Table, name: str, base: Kind | None, world: World) -> Kind:
    """Return one kind; `base` is the built-in kind of this name. Don't use the kind if there are mistakes."""
    if not _NAME.fullmatch(name):
        table.mistakes.add(table.place, "must be named by a-z, 0-9, '_' and '-', beginning with a letter, 40 at most")
    asking = name in ASKING
    given = _read_schema(table, base)
    schema = base.schema if base and "schema" not in table else given
    kind = world.begin(base or Kind(name=name, schema=given or {}))
    kind = _with(kind, schema=given, title=table.text("title"), timeout=table.length("timeout"))
    if schema is not None and kind.title is not None:
        check_title(kind.title, schema, table.at("title"), table.mistakes)
    kind = _with(kind, policy=_read_policy(table, kind, world), limits=_read_limits(table, kind.limits))
    kind = _with(kind, rules=read_rules(table, kind, schema, world.people, decides=not asking))
    if asking:
        for key in ("schema", "form", "flow"):
            if key in table:
                table.expect(key, f"must be left out: the tool that asks a {name} brings its own")
    form, flow = _read_form(table), _read_flow(table, world.check_flows)
    if "cooldown" in table:
        kind = replace(kind, cooldown=None if table.says_none("cooldown") else table.length("cooldown"))
    if "flow" in table:
        kind = replace(kind, flow=flow)
    table.close()
    return _with(kind, form=form)


def _with(kind: Kind, **given: Any) -> Kind:
    """Return the kind with the values that the file gives; None means not given."""
    return replace(kind, **{key: value for key, value in given.items() if value is not None})


def _read_schema(table: Table, base: Kind | None) -> JsonObject | None:
    schema = table.json("schema")
    if schema is None:
        if base is None and "schema" not in table:
            table.expect("schema", "must be given: the JSON Schema of the payload")
        return None
    if not check_schema(schema, table.at("schema"), table.mistakes):
        return None
    check_secrets(schema, table.at("schema"), table.mistakes)
    if schema.get("type", "object") != "object":
        table.expect("schema", "must be for an object: type = 'object'")
    for name, kind in _COUNTED if base is EXPENSE else ():
        field: Any = schema.get("properties", {}).get(name)
        if not isinstance(field, dict) or field != field | {"type": kind} or name not in schema.get("required", []):
            table.expect("schema", f"must require a field {name!r} with type = {kind!r}, because the code checks it")
    return schema


def _read_policy(table: Table, kind: Kind, world: World) -> Policy:
    remind = table.lengths("remind_after")
    check_timing(table, "remind_after", remind or (), kind.timeout)
    given: dict[str, Any] = {
        "stages": read_stages(table, world.people, kind.timeout),
        "assurance": table.choice("assurance", [each for each in Assurance if each is not Assurance.NONE]),
        "four_eyes": table.flag("four_eyes"),
        "editor_may_approve": table.flag("editor_may_approve"),
        "rejections": table.count("rejections"),
        "valid_for": table.length("valid_for"),
        "remind_after": None if remind is None else tuple(sorted(set(remind))),
    }
    policy = replace(kind.policy, **{key: value for key, value in given.items() if value is not None})
    if policy.stages:
        check_numbers(table, policy, world.people)
    elif "stages" not in table:
        table.expect("stages", "must be given: in the profile 'team' there are no default approvers")
    return policy


def _read_limits(table: Table, base: Limits) -> Limits | None:
    limits = table.table("limits")
    if limits is None:
        return None
    lifted = {key: None for key in _LIFTABLE if limits.says_none(key)}
    given = {key: limits.count(key) for key in (*_LIFTABLE, "payload_bytes") if key not in lifted}
    limits.close()
    return replace(base, **lifted, **{key: value for key, value in given.items() if value is not None})


def _read_form(table: Table) -> JsonObject | None:
    form = table.json("form")
    try:
        return None if form is None else forms.define(form)
    except Invalid as mistake:
        table.expect("form", str(mistake))
        return None


def _read_flow(table: Table, check: bool) -> str | None:
    flow = None if table.says_none("flow") else table.text("flow")
    if flow is None:
        return None
    if not _FLOW.fullmatch(flow):
        table.expect("flow", "must be 'package.module:Class', or 'none'")
    elif check:
        module, _, name = flow.partition(":")
        try:
            found = getattr(importlib.import_module(module), name, None)
        except Exception as error:  # whatever the module itself raises is a mistake at this place
            table.expect("flow", f"must be importable here: {type(error).__name__}: {error}")
        else:
            if not isinstance(found, type):
                table.expect("flow", f"must name a class: {module} has no class {name!r}")
    return flow
