"""How the audit entries of one approval are shown: those that repeat are folded, so whoever asks cannot lengthen it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mcp_hitl.domain.evidence.chain import Recorded
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.domain.values.text import visible

FIRST, LAST = 5, 15
"""How many entries with the same event are shown, from the beginning and from the end."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Entries with the same event that are not shown one by one. It stands where the first of them would."""

    event: Event
    count: int
    first: datetime
    last: datetime


def folded(entries: Sequence[Recorded]) -> list[Recorded | Fold]:
    """Return what is shown of a trail, in order."""
    alike: dict[Event, list[Recorded]] = {}
    for recorded in entries:
        alike.setdefault(recorded.entry.event, []).append(recorded)
    shown: list[tuple[int, Recorded | Fold]] = []
    for event, some in alike.items():
        between = some[FIRST:-LAST] if len(some) > FIRST + LAST + 1 else []
        if between:
            fold = Fold(event, len(between), between[0].entry.at, between[-1].entry.at)
            shown.append((between[0].seq, fold))
            some = [*some[:FIRST], *some[-LAST:]]
        shown += [(recorded.seq, recorded) for recorded in some]
    return [one for _, one in sorted(shown, key=lambda each: each[0])]


def trail_shape(entries: Sequence[Recorded], verified: bool) -> JsonObject:
    """Return the trail that the tool and the resource return. `verified` is about all entries, shown or not."""
    lines = folded(entries)
    return {
        "entries": [one.as_json() for one in lines if isinstance(one, Recorded)],
        "verified": verified,
        "folded": [
            {"event": one.event.value, "count": one.count, "first": rfc3339(one.first), "last": rfc3339(one.last)}
            for one in lines
            if isinstance(one, Fold)
        ],
    }


def trail_text(entries: Sequence[Recorded]) -> str:
    """Return the same in one line for each entry, or for all that are folded."""
    return "\n".join(_line(one) for one in folded(entries))


def _line(one: Recorded | Fold) -> str:
    if isinstance(one, Fold):
        return f"… {one.event.value} {one.count:,} more times, from {rfc3339(one.first)} to {rfc3339(one.last)}"
    sure = f" (assurance {one.entry.assurance.value})" if one.entry.assurance else ""
    return f"{one.seq}. {rfc3339(one.entry.at)} {one.entry.event.value} by {visible(one.entry.actor)}{sure}"
