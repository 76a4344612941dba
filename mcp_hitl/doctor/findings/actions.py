"""Checks the approved actions: those that nobody has settled, and those that nobody carries out."""

from mcp_hitl.desk.doctor_facts import Examination
from mcp_hitl.doctor.findings.finding import Finding, Mend, listed, note
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.text import one_line, visible


def action_findings(examined: Examination, alive: frozenset[str], rulebook: Rulebook) -> list[Finding]:
    """Return what a person has to do about approved actions; `alive` are the locks that a process holds."""
    return [*_unsettled(examined), *_silent(examined, alive), *_unclaimed(examined, rulebook)]


def _unsettled(examined: Examination) -> list[Finding]:
    if not examined.unsettled:
        return []
    return [
        note(
            "outcome-unknown",
            "We don't know whether some approved actions happened: the process ended in the middle.",
            "They are not tried again, and keep this state until a person checks and records the outcome.",
            *(
                Mend("once you have found out (or --failed)", command=("reconcile", visible(approval), "--succeeded"))
                for approval in examined.unsettled
            ),
        )
    ]


def _silent(examined: Examination, alive: frozenset[str]) -> list[Finding]:
    stopped = [(approval, holder) for approval, holder in examined.silent if holder in alive]
    abandoned = [approval for approval, holder in examined.silent if holder not in alive]
    findings: list[Finding] = []
    if stopped:
        locks = listed(dict.fromkeys(holder for _, holder in stopped))
        findings.append(
            note(
                "process-stopped",
                f"A process began approved actions and does not answer, but lives. It holds the lock {locks}.",
                "Nobody else carries these actions on while it lives. Let it go on, or kill it: then the actions are "
                "carried on, or become unknown.",
                *(Mend("look at", command=("show", visible(approval))) for approval, _ in stopped),
            )
        )
    if abandoned:
        findings.append(
            note(
                "action-abandoned",
                "A process ended in the middle of approved actions, and no other process carries them on.",
                "A server that has their kinds does, as soon as it runs. If there will be none, find out whether they "
                "happened, and record it.",
                *(
                    Mend("once you have found out (or --failed)", command=("reconcile", visible(one), "--succeeded"))
                    for one in abandoned
                ),
            )
        )
    return findings


def _unclaimed(examined: Examination, rulebook: Rulebook) -> list[Finding]:
    findings: list[Finding] = []
    for kind, code in dict.fromkeys((kind, code) for _, kind, code in examined.unclaimed):
        waiting = [approval for approval, *asked in examined.unclaimed if asked == [kind, code]]
        known, name = rulebook.kinds.get(kind), one_line(kind, 64)
        if known is None:
            why = f"The program that has the kind {name} does not run, or it was changed after it had asked."
        elif code in (None, known.code):
            why = f"No server that has the kind {name} runs."
        else:
            why = f"They were asked when the kind {name} had another definition or another flow than it has here."
        findings.append(
            note(
                "action-waits",
                f"Approved actions of the kind {name} wait, and no process carries them out. {why}",
                "Only a program carries them out whose kind and flow are as they were when it asked. Until it runs, "
                "they wait, however long.",
                *(
                    Mend(
                        "run that version until it is done, or record that it does not happen (or --succeeded)",
                        command=("reconcile", visible(approval), "--failed"),
                    )
                    for approval in waiting
                ),
            )
        )
    return findings
