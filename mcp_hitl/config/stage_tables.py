"""Reads stages: who decides, how many people must, and who may decide later."""

from datetime import timedelta

from mcp_hitl.config.people_tables import persons, read_approvers
from mcp_hitl.config.table import Table
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Escalation, Policy, Stage


def read_stages(table: Table, people: People, timeout: timedelta) -> tuple[Stage, ...] | None:
    """Return the `stages` of a kind or of a rule; None if the file has none that can be used."""
    tables = table.tables("stages")
    if tables is None:
        return None
    if not table.content["stages"]:
        table.expect("stages", "must have at least one stage")
    stages = [_read_stage(stage, people, timeout) for stage in tables]
    return tuple(stage for stage in stages if stage is not None) or None


def check_timing(table: Table, key: str, spans: tuple[timedelta, ...], timeout: timedelta) -> None:
    """Note reminders and other times that come only after the approval has expired."""
    for index, span in enumerate(spans):
        if span >= timeout:
            table.mistakes.add(table.at(key, index), "must be shorter than the timeout: nothing happens after that")


def check_numbers(table: Table, policy: Policy, people: People) -> None:
    """Note quorums and rejections that the named people can never reach."""
    crowds = [persons(stage.approvers, people) for stage in policy.stages]
    needed, there = sum(stage.quorum for stage in policy.stages), len({who for crowd in crowds for who in crowd})
    if policy.one_stage_each and len(crowds) > 1 and needed > there:
        table.expect(
            "stages", f"must name {needed} different people or more, not {there}: each counts in one stage only"
        )
    smallest = min(len(crowd) for crowd in crowds)
    if policy.rejections > smallest:
        table.mistakes.add(
            table.at("stages" if "rejections" not in table else "rejections"),
            f"must let every stage's people reject: rejections is {policy.rejections}, but one stage has {smallest}",
        )


def _read_stage(table: Table, people: People, timeout: timedelta) -> Stage | None:
    approvers = read_approvers(table, "approvers", people)
    quorum = table.count("quorum") or 1
    steps = [_read_escalation(step, people, timeout) for step in table.tables("escalate") or []]
    table.close()
    if approvers is None:
        return None
    there = len(persons(approvers, people))
    if there < quorum:
        table.expect("quorum", f"must be at most {there}, the number of people this stage names")
    escalate = sorted((step for step in steps if step is not None), key=lambda step: step.after)
    return Stage(approvers, quorum, tuple(escalate))


def _read_escalation(table: Table, people: People, timeout: timedelta) -> Escalation | None:
    after = table.length("after")
    if "after" not in table:
        table.expect("after", "must be given: how long the stage waits before it escalates")
    elif after is not None and after >= timeout:
        table.expect("after", "must be shorter than the timeout: nothing happens after that")
    to = read_approvers(table, "to", people)
    table.close()
    return Escalation(after, to) if after is not None and to is not None else None
