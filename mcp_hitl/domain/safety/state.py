"""What the database itself tells: the clock, the emergency stop, and what nobody has settled."""

from dataclasses import dataclass
from datetime import timedelta

from mcp_hitl.domain.examination import Examination
from mcp_hitl.domain.instants import in_words, rfc3339
from mcp_hitl.domain.moments import BELIEVABLE
from mcp_hitl.domain.policy import Profile
from mcp_hitl.domain.rulebook import Rulebook
from mcp_hitl.domain.safety.finding import Finding, Mend, listed, note, unsafe
from mcp_hitl.domain.text import one_line, visible

_DRIFT = timedelta(minutes=1)
"""Clocks that are kept right differ by less."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found at the database's place: its contents, or why there are none. Both are None where it is new."""

    examination: Examination | None = None
    unusable: str | None = None


def state_findings(found: Found, rulebook: Rulebook) -> list[Finding]:
    """What is so in the database, for whoever runs it by this rulebook."""
    if found.unusable is not None:
        return [
            unsafe(
                "database-unusable",
                f"The database could not be examined. {found.unusable}",
                "Nothing can be said about what it holds, and no server can serve it.",
            )
        ]
    if found.examination is None:
        return [
            note(
                "no-database",
                "There is no database yet.",
                "The first use makes it, readable by you alone.",
            )
        ]
    examined = found.examination
    return [
        *_policy(examined, rulebook),
        *_clock(examined),
        *_stops(examined),
        *_unsettled(examined),
        *_unknown(examined, rulebook),
        _ANCHOR,
    ]


def _policy(examined: Examination, rulebook: Rulebook) -> list[Finding]:
    if examined.governed and not rulebook.written:
        what = "A policy file governs this database, and none is named here."
    elif examined.profile is Profile.TEAM and rulebook.profile is Profile.SOLO:
        what = 'This database belongs to a team, and the policy named here says profile = "solo".'
    else:
        return []
    return [
        unsafe(
            "another-policy",
            what,
            "No other command works so, and what this one says of the policy is not about the one in force.",
            Mend("in the environment of whoever starts mcp-hitl", "MCP_HITL_CONFIG=/path/to/policy.toml"),
        )
    ]


def _clock(examined: Examination) -> list[Finding]:
    ahead = examined.mark - examined.now
    reset = Mend("after you have set this computer's clock right", command=("reset-clock",))
    if ahead > BELIEVABLE:
        return [
            unsafe(
                "clock-ran-ahead",
                f"The clock once ran far ahead: the latest instant on record is {rfc3339(examined.mark)}.",
                "It is disregarded, so that nothing expires by mistake. Until it is reset, nobody notices when the "
                "clock is set back to keep a request open, and approvals with a `valid_for` count as used up.",
                reset,
            )
        ]
    if ahead > _DRIFT:
        return [
            note(
                "clock-behind",
                f"The clock is {in_words(ahead)} behind the latest instant on record.",
                "Time stands still for approvals until it catches up: nothing expires, and nobody is reminded.",
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
            "Meanwhile nothing is decided, redeemed or run; asking goes on.",
            Mend("when it may go on", command=("resume", *(("--kind", visible(stop.kind)) if stop.kind else ()))),
        )
        for stop in examined.stops
    ]


def _unsettled(examined: Examination) -> list[Finding]:
    if not examined.unsettled:
        return []
    return [
        note(
            "outcome-unknown",
            "Of some approved actions nobody knows whether they happened: the process died in the middle.",
            "They are not tried again, and stay so until a person has looked and says how it was.",
            *(
                Mend("once you have found out (or --failed)", command=("reconcile", visible(approval), "--succeeded"))
                for approval in examined.unsettled
            ),
        )
    ]


def _unknown(examined: Examination, rulebook: Rulebook) -> list[Finding]:
    unknown = {kind: count for kind, count in examined.open_kinds.items() if kind not in rulebook.kinds}
    if not unknown:
        return []
    decided = (
        "Whoever is at this machine can decide them, by the rules that were copied when they were asked;"
        if rulebook.profile is Profile.SOLO
        else "Nobody can decide them here;"
    )
    told = listed(f"{one_line(kind, 64)} ({count:,})" for kind, count in sorted(unknown.items()))
    return [
        note(
            "unknown-kinds",
            f"Open approvals are of kinds that this policy does not know: {told}.",
            f"{decided} what follows an approval does not run here. Another policy file or program has defined them.",
            Mend("name the policy file that has them", "MCP_HITL_CONFIG=/path/to/policy.toml"),
        )
    ]


_ANCHOR = note(
    "anchor",
    "Whether an anchor of the record is kept elsewhere cannot be seen from here.",
    "Whoever can write the file can rewrite the whole record, and it verifies; only a hash kept off this machine shows "
    "that.",
    Mend("keep what this prints somewhere else, now and then", command=("audit", "head")),
)
