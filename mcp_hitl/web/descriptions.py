"""What the pages say of an approval: its line in a list, its fields, its history."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from mcp_hitl.domain.approvals.approval import Approval, OutcomeState, Status
from mcp_hitl.domain.approvals.quorum import quorum_of
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import LOCAL
from mcp_hitl.domain.values.canonical import JsonObject, rfc8785_form
from mcp_hitl.domain.values.money import amounts_in, in_digits
from mcp_hitl.domain.values.secrets import has_secrets, redacted
from mcp_hitl.domain.values.text import has_twins, json_lines, one_line, quoted, visible
from mcp_hitl.present.approval_views import requester_in_words
from mcp_hitl.web.rendering import span_in_words

_SOON = timedelta(hours=4)
_DEEPEST = 3
"""Tables in tables that people still read; what is deeper is shown as JSON."""
_BRIEF_LINES, _BRIEF_CHARACTERS = 20, 900
"""The longest payload whose buttons stand next to it; those of a longer one come after all of it."""
_MONEY = "amount", "currency"
_LONGEST = 50
"""Items of a list that stand in a table; a longer list is shown as JSON."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list."""

    id: str
    title: str
    kind: str
    requester: str
    asked_by: str
    """The requester in words for people."""
    decided_by: str
    """Whose decisions count, or the policy's rule; empty where nobody decided."""
    status: str
    stake: str
    """The amount, where the payload has one; else empty."""
    requested_at: datetime
    expires_at: datetime
    resolved_at: datetime | None
    soon: bool
    quorum: str
    asked: int
    edited: bool
    revision: int
    digest: str
    batchable: bool


def row(approval: Seen, kind: Kind | None, now: datetime) -> Row:
    """The line of an approval."""
    quorum = quorum_of(approval, approval.decisions_in_force)
    stages = len(approval.policy.stages)
    stage = f"stage {quorum.stage} of {stages}, " if stages > 1 else ""
    return Row(
        id=approval.id,
        title=approval.title,
        kind=approval.kind,
        requester=approval.requester,
        asked_by=asked_by(approval),
        decided_by=decided_by(approval),
        status=approval.seen_at(now).value,
        stake=stake(approval, kind),
        requested_at=approval.requested_at,
        expires_at=approval.expires_at,
        resolved_at=approval.resolved_at,
        soon=approval.expires_at - now < _SOON,
        quorum=f"{stage}{quorum.approved} of {quorum.needed}",
        asked=approval.asked,
        edited=bool(approval.edits),
        revision=approval.revision,
        digest=approval.digest,
        batchable=batchable(approval),
    )


def what_now(approval: Approval, kind: Kind | None, now: datetime) -> str:
    """Return what happens next with an approval that has ended, in a sentence for people."""
    carried_out_here = approval.flow is not None or kind is None or not kind.redeemable
    match approval.seen_at(now), approval.outcome.state:
        case Status.APPROVED, _ if approval.form is not None:
            return "The agent reads the answer as soon as it looks."
        case Status.APPROVED, OutcomeState.SUCCEEDED:
            return "It was done."
        case Status.APPROVED, OutcomeState.FAILED:
            return "It failed, and nothing more happens by itself."
        case Status.APPROVED, OutcomeState.UNKNOWN:
            return "Nobody knows whether it was done."
        case Status.APPROVED, _ if carried_out_here:
            return "It is being carried out. This page shows how it goes."
        case Status.APPROVED, OutcomeState.RUNNING:
            return "The agent has begun, and has not reported yet how it went."
        case Status.APPROVED, _:
            return "The agent may do it now, once. This page shows when it begins."
        case Status.REJECTED, _:
            return "Nothing is done. The agent reads the reason as soon as it looks."
        case Status.EXPIRED, _:
            return "Nothing is done. The agent can ask again."
        case _:
            return "Nothing is done."


def asked_by(approval: Approval) -> str:
    """Return the requester in words."""
    return requester_in_words(approval.requester)


def decided_by(approval: Approval) -> str:
    """Whose decisions count, or the policy's rule; empty where nobody decided."""
    if approval.rule:
        return f"the rule “{approval.rule}”"
    names = dict.fromkeys(decision.approver for decision in approval.decisions_in_force)
    return ", ".join("you, at this machine" if name == LOCAL else name for name in names)


def state(approval: Approval, now: datetime) -> str:
    """What a page of it depends on, in one word: another word, and the page is out of date.

    While it is pending, what its flow reports of itself changes nothing for whoever decides.
    """
    parts = [approval.seen_at(now).value, approval.revision, len(approval.decisions)]
    if not waits(approval, now):
        parts += [approval.outcome.state.value, len(approval.progress), approval.cooldown_until is None]
    return "/".join(map(str, parts))


def deciders(approval: Approval) -> str:
    """Who may decide it now, and after whom else."""
    stages = [
        ", ".join("somebody at this machine" if name == LOCAL else name for name in stage.approvers)
        for stage in approval.policy.stages
    ]
    also = [f"also {name}, since it waited long" for name in approval.escalated]
    return "; ".join([", then ".join(stages), *also])


def batchable(approval: Approval) -> bool:
    """Whether it may be decided together with others: nothing to fill in, and no more than `local` asked (T28)."""
    return approval.form is None and Assurance.LOCAL.at_least(approval.policy.assurance)


def stake(approval: Seen, kind: Kind | None) -> str:
    """Return the money that is at stake, if the kind's own schema defines an amount: an agent could invent one."""
    shown = None if kind is None else redacted(kind.schema, approval.payload)
    if kind is None or not isinstance(shown, dict):
        return ""
    defined = {*kind.schema.get("properties", {})}
    amount, currency = (cast("JsonObject", shown).get(name) if name in defined else None for name in _MONEY)
    if isinstance(amount, int | float) and not isinstance(amount, bool):
        unit = one_line(currency, 12) if isinstance(currency, str) else ""
        # A unit such as "000 USD" would make more of the amount.
        return f"{in_digits(amount, unit)} {unit if unit.isalpha() else quoted(unit) if unit else ''}".strip()
    return ""


@dataclass(frozen=True, slots=True)
class Line:
    """One field of a payload: its name, what its schema calls it, and its whole value; no two values read alike."""

    name: str
    label: str | None
    text: str
    nested: bool
    """Whether there are values inside it."""
    literal: bool
    """Whether it is a number, true, false or null, or empty, and no text."""
    secret: bool
    """Whether its schema marks it, or something inside it."""
    parts: tuple["Line", ...] = ()
    """What is inside it, for a table of its own; empty where it is so deep or long that JSON says it better."""


def lines(payload: Any, kind: Kind | None) -> list[Line]:
    """Every field of a payload in full."""
    if not isinstance(payload, dict):
        return [Line("payload", None, json_lines(payload), True, False, False)]
    held = cast("JsonObject", payload)
    properties: Any = {} if kind is None else kind.schema.get("properties", {})
    # Older versions stored the fields in the order of the alphabet.
    names = [*(name for name in properties if name in held), *(name for name in held if name not in properties)]
    money, exact = amounts_in(held), has_twins(dict.fromkeys(held))
    found = [_line(name, held[name], properties.get(name), exact=exact) for name in names]
    return [replace(line, text=money[line.name]) if line.name in money else line for line in found]


def is_brief(payload: Any) -> bool:
    """Whether all of the payload is in view at once, so that its buttons may stand next to it (THREATS T26)."""
    text = json_lines(payload)
    return text.count("\n") + text.count("\\n") <= _BRIEF_LINES and len(text) <= _BRIEF_CHARACTERS


def _line(name: str, value: Any, schema: Any, depth: int = 0, *, exact: bool = False) -> Line:
    secret = isinstance(schema, dict) and has_secrets(cast("JsonObject", schema))
    title = cast("JsonObject", schema).get("title") if isinstance(schema, dict) else None
    label = title if isinstance(title, str) else None
    if isinstance(value, str):
        text = _in_quotes(value) if value != value.strip() or _reads_as_json(value) else value
        return Line(told_name(name, exact=exact), label, text, False, False, secret)
    nested = isinstance(value, dict | list) and bool(cast("list[Any]", value))
    text = json_lines(cast("object", value)) if nested else _literal(value)
    parts = _parts(value, schema, depth + 1) if nested and depth < _DEEPEST else ()
    return Line(told_name(name, exact=exact), label, text, nested, not nested, secret, parts)


def _parts(value: Any, schema: Any, depth: int) -> tuple[Line, ...]:
    """The fields of an object, or the items of a list by their number."""
    given = cast("JsonObject", schema) if isinstance(schema, dict) else {}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if len(items) > _LONGEST:
            return ()
        return tuple(_line(str(n), item, given.get("items"), depth) for n, item in enumerate(items, 1))
    held, properties = cast("JsonObject", value), given.get("properties", {})
    exact = has_twins(dict.fromkeys(held))
    return tuple(_line(name, held[name], properties.get(name), depth, exact=exact) for name in held)


def _literal(value: Any) -> str:
    # What was stored as digits alone comes back as an integer, although RFC 8785 takes none beyond a double's own.
    return str(value) if type(value) is int else rfc8785_form(value).decode()


def told_name(name: str, *, exact: bool = False) -> str:
    """A name as it is told from every other: in quotes where it could be taken for one that is written alike.

    If it is `exact`, all letters but ASCII are escapes: another name beside it looks the same.
    """
    if exact and not name.isascii():
        return json.dumps(name)
    plain = name == name.strip() and not name.startswith('"') and visible(name) == name
    return name if name and plain else _in_quotes(name)


def _reads_as_json(text: str) -> bool:
    """Whether a text looks like something else: a number, null, a list, a text in quotes; or like nothing."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return text == ""
    except (ValueError, RecursionError):  # a number of very many digits, lists within lists
        return True
    return True


def _in_quotes(text: str) -> str:
    return visible(json.dumps(text, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened: when, who, what, and the words that came with it."""

    at: datetime
    who: str
    what: str
    words: str | None = None
    mark: str = ""
    """`approve`, `reject`, `edit` or nothing: how the page colours it."""
    note: str | None = None


def decided_so_far(approval: Approval) -> list[Moment]:
    """Every decision, on earlier revisions too, with what is known of how it was made."""
    found: list[Moment] = []
    for decision in approval.decisions:
        notes = [f"assurance {decision.assured}", decision.established]
        if decision.looked is not None:
            hasty = ", faster than anybody reads" if decision.hasty else ""
            notes.append(f"after {span_in_words(decision.looked)}{hasty}")
        if decision.revision != approval.revision:
            notes.append(f"on revision {decision.revision}, so it does not count any more")
        verb = "approved" if decision.verdict.value == "approve" else "rejected"
        found.append(
            Moment(decision.at, decision.approver, verb, decision.comment, decision.verdict.value, "; ".join(notes))
        )
    return found


def earlier_lines(earlier: Sequence[Seen], kind: Kind | None, now: datetime) -> list[tuple[Row, str | None]]:
    """Earlier requests, each with the reason it ended with, where somebody gave one (THREATS T24)."""
    return [(row(approval, kind, now), approval.why_ended) for approval in earlier]


def waits(approval: Approval, now: datetime) -> bool:
    """Whether it can still be decided."""
    return approval.seen_at(now) is Status.PENDING
