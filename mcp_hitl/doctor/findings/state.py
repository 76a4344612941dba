"""Checks the database itself: the clock, the emergency stop, and approvals that nobody has settled."""

from dataclasses import dataclass
from datetime import timedelta

from mcp_hitl.desk.doctor_facts import Examination
from mcp_hitl.doctor.findings.actions import action_findings
from mcp_hitl.doctor.findings.finding import Finding, Mend, listed, note, unsafe
from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.clock import BELIEVABLE
from mcp_hitl.domain.values.instants import in_words, rfc3339
from mcp_hitl.domain.values.text import one_line, visible

_DRIFT = timedelta(minutes=1)
"""Clocks that are set right differ by less than this."""


@dataclass(frozen=True, slots=True)
class Found:
    """The database's contents, or the reason why it cannot be used. Both are None if it does not exist yet."""

    examination: Examination | None = None
    unusable: str | None = None
    alive: frozenset[str] = frozenset()
    """Those of the locks in `examination.silent` that a process holds."""


def state_findings(found: Found, rulebook: Rulebook) -> list[Finding]:
    """Return what is notable about the database, for somebody who uses it with this rulebook."""
    if found.unusable is not None:
        return [
            unsafe(
                "database-unusable",
                f"The database could not be examined. {found.unusable}",
                "We don't know what it contains, and no server can use it.",
            )
        ]
    if found.examination is None:
        return [
            note(
                "no-database",
                "There is no database yet.",
                "The first command that needs it creates it, readable by you alone.",
            )
        ]
    examined = found.examination
    return [
        *_policy(examined, rulebook),
        *_policy_change(examined, rulebook),
        *_older_copy(examined),
        *_clock(examined),
        *_stops(examined),
        *action_findings(examined, found.alive, rulebook),
        *_unknown(examined, rulebook),
        _ANCHOR,
    ]


def _policy(examined: Examination, rulebook: Rulebook) -> list[Finding]:
    if examined.governed and not rulebook.written:
        what = "This database has a policy file, but none is set here."
    elif examined.profile is Profile.TEAM and rulebook.profile is Profile.SOLO:
        what = 'This database belongs to a team, but the policy set here has profile = "solo".'
    else:
        return []
    return [
        unsafe(
            "another-policy",
            what,
            "Every other command refuses to run this way, and the findings about the policy don't describe the one in "
            "force.",
            Mend("in the environment that starts mcp-hitl", "MCP_HITL_CONFIG=/path/to/policy.toml"),
        )
    ]


def _policy_change(examined: Examination, rulebook: Rulebook) -> list[Finding]:
    """Ask whether the last change of the policy file was meant: whoever chooses the file chooses who decides."""
    changed = examined.policy_change
    if changed is None:
        return []
    here = (
        "It is the one set here."
        if rulebook.digest == examined.policy
        else f"Another is set here ({rulebook.digest or 'none'}), and the next command that uses it puts it in force."
    )
    return [
        note(
            "policy-changed",
            f"The policy file changed last at {rfc3339(changed.entry.at)}, by {one_line(changed.entry.actor, 100)}. It "
            f"is {changed.entry.data['policy']} now. {here} Did you do that?",
            "Any program of this account can open the database with a policy file of its own and approve by its rules.",
            Mend("if you did not: stop everything, and compare the digest with your file", command=("pause",)),
        )
    ]


def _older_copy(examined: Examination) -> list[Finding]:
    if examined.older is None:
        return []
    return [
        unsafe(
            "older-copy",
            "An older copy of this database was put back, and nobody has confirmed it.",
            "It does not know what was used since it was made. Until somebody confirms it, nothing is decided, "
            "redeemed or run; afterwards, an approval that was used could be used again.",
            Mend("after you have found out what was used since", command=("restore", "--confirm")),
        )
    ]


def _clock(examined: Examination) -> list[Finding]:
    ahead = examined.mark - examined.now
    reset = Mend("after you have set this computer's clock right", command=("reset-clock",))
    if examined.leap > timedelta(seconds=1):
        return [
            unsafe(
                "clock-leapt",
                f"The clock of this computer leapt ahead by {in_words(examined.leap)} while the computer was running.",
                "We don't believe it, so that nothing expires by mistake, and go on counting from the time before. If "
                "the clock is right now, deadlines have passed that we still take for open.",
                Mend("if the clock is right, or after you have set it right", command=("reset-clock",)),
            )
        ]
    if ahead > BELIEVABLE:
        return [
            unsafe(
                "clock-ran-ahead",
                f"The clock once ran far ahead: the latest instant on record is {rfc3339(examined.mark)}.",
                "We ignore it, so that nothing expires by mistake. Until you reset it, nobody notices if somebody "
                "sets the clock back to keep a request open, and approvals with a `valid_for` count as used up.",
                reset,
            )
        ]
    if ahead > _DRIFT:
        return [
            note(
                "clock-behind",
                f"The clock is {in_words(ahead)} behind the latest instant on record.",
                "Until it has caught up, time passes at half speed at most for approvals: they expire later, and "
                "people are reminded later.",
                reset,
            )
        ]
    return []


def _stops(examined: Examination) -> list[Finding]:
    return [
        note(
            "stopped",
            f"{f'The kind {one_line(stop.kind, 64)}' if stop.kind else 'Everything'} is stopped, since "
            f"{rfc3339(stop.at)} ({in_words(examined.now - stop.at)} ago), by {one_line(stop.by, 100)}.",
            "Until then nothing is decided, redeemed or run. New requests are still accepted.",
            Mend("when it may continue", command=("resume", *(("--kind", visible(stop.kind)) if stop.kind else ()))),
        )
        for stop in examined.stops
    ]


def _unknown(examined: Examination, rulebook: Rulebook) -> list[Finding]:
    unknown = {kind: count for kind, count in examined.open_kinds.items() if kind not in rulebook.kinds}
    if not unknown:
        return []
    decided = (
        "Anyone at this machine can decide them, by the rules that were copied when they were requested, but"
        if rulebook.profile is Profile.SOLO
        else "Nobody can decide them here, and"
    )
    told = listed(f"{one_line(kind, 64)} ({count:,})" for kind, count in sorted(unknown.items()))
    return [
        note(
            "unknown-kinds",
            f"Some open approvals are of kinds that this policy does not have: {told}.",
            f"{decided} no flow runs here after an approval. Another policy file or program defined them.",
            Mend("name the policy file that has them", "MCP_HITL_CONFIG=/path/to/policy.toml"),
        )
    ]


_ANCHOR = note(
    "anchor",
    "We can't see from here whether you keep an anchor of the record somewhere else.",
    "Anyone who can write the file can rewrite the whole record so that it still verifies; only a hash kept off this "
    "machine shows that.",
    Mend("from time to time, keep the output of this somewhere else", command=("audit", "head")),
)
