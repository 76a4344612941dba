"""Rules: what a policy decides by itself, or puts before other people. Every condition is a JSON Schema."""

from dataclasses import dataclass

from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.policy import Stage, Verdict
from mcp_hitl.domain.schemas import satisfies


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The payloads that satisfy `when`, and what becomes of them: decided at once, or put before `stages`.

    `max_per_day` bounds how many of a requester's it approves in 24 hours; the rest is held for people.
    """

    name: str
    when: JsonObject
    decide: Verdict | None = None
    stages: tuple[Stage, ...] = ()
    max_per_day: int | None = None


def first_match(rules: tuple[Rule, ...], payload: JsonObject) -> Rule | None:
    """The first rule that the payload, which satisfies its kind's schema, also satisfies."""
    return next((rule for rule in rules if satisfies(rule.when, payload)), None)
