"""Rules: what a policy decides itself, or sends to other people. Every condition is a JSON Schema."""

from dataclasses import dataclass

from mcp_hitl.domain.policy.policy import Stage, Verdict
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.schemas import satisfies


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule for the payloads that satisfy `when`: it decides them at once, or sends them to `stages`.

    `max_per_day` limits how many requests of one requester it approves in 24 hours; people decide the others.
    """

    name: str
    when: JsonObject
    decide: Verdict | None = None
    stages: tuple[Stage, ...] = ()
    max_per_day: int | None = None


def first_match(rules: tuple[Rule, ...], payload: JsonObject) -> Rule | None:
    """Return the first rule that the payload satisfies; the payload must satisfy its kind's schema."""
    return next((rule for rule in rules if satisfies(rule.when, payload)), None)
