"""Checks who can decide at all: if nobody can complete a stage, the approval waits until it expires."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mcp_hitl.doctor.findings.finding import Finding, in_policy, listed, note, of_kinds
from mcp_hitl.domain.policy.assurances import AT_TERMINAL, SignIn, highest
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.people import GROUP, People
from mcp_hitl.domain.policy.policy import Assurance, Stage
from mcp_hitl.domain.policy.principal import LOCAL
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.text import visible


@dataclass(frozen=True, slots=True)
class Reach:
    """Who can decide on this database, and the highest assurance that they can have.

    `user` is the account that the database belongs to; `ids` are all ids that can act, including `local`.
    """

    user: str
    ids: frozenset[str]
    assurance: Assurance

    @staticmethod
    def of(user: str, methods: Iterable[SignIn]) -> "Reach":
        """Return who can decide with `methods` of signing in, beside the terminal.

        The account that the database's files belong to, and nobody else, can use it.
        """
        return Reach(user, frozenset({LOCAL, user}), highest([AT_TERMINAL, *(one.assurance for one in methods)]))

    @property
    def sign_in(self) -> bool:
        """True if somebody can sign in."""
        return self.assurance.at_least(Assurance.SESSION)

    @property
    def stages(self) -> str:
        """The line for a policy file that lets this account decide, but not just anyone at the machine."""
        return f"stages = [{{ approvers = [{json.dumps(visible(self.user))}] }}]"


def reach_findings(rulebook: Rulebook, reach: Reach) -> list[Finding]:
    """Return what nobody here can decide, and why."""
    kinds = [rulebook.kinds[name] for name in sorted(rulebook.kinds)]
    found: list[Finding] = []
    unsure = [kind.name for kind in kinds if not reach.assurance.at_least(kind.policy.assurance)]
    if unsure:
        found.append(
            note(
                "nobody-sure-enough",
                f"Nobody here can decide {of_kinds(unsure)}: a decision here has the assurance `{reach.assurance}` at "
                "most, and the policy requires more.",
                "Such requests wait until they expire, and expiry never approves. (If you lower it, `local` counts.)",
                in_policy(unsure, f'assurance = "{reach.assurance}"'),
            )
        )
    short = [told for kind in kinds for told in _short(kind, rulebook.people, reach)]
    if short:
        names = sorted({kind.name for kind in kinds if any(_short(kind, rulebook.people, reach))})
        found.append(
            note(
                "nobody-to-decide",
                f"There are not enough people who can decide here: {'; '.join(short)}.",
                f"Such requests wait until they expire. These can decide: {visible(', '.join(sorted(reach.ids)))}.",
                in_policy(names, reach.stages),
            )
        )
    return found


def _short(kind: Kind, people: People, reach: Reach) -> Iterator[str]:
    ruled = [(f"{kind.name}, rule {visible(rule.name)!r}", rule.stages) for rule in kind.rules]
    for name, stages in [(kind.name, kind.policy.stages), *ruled]:
        for number, stage in enumerate(stages, start=1):
            able = _able(stage, people, reach)
            if able < stage.quorum:
                empty = [entry for entry in stage.everybody if entry.startswith(GROUP) and not _means(entry, people)]
                why = f" ({visible(listed(empty))} is empty)" if empty else ""
                yield f"{name}, stage {number}, needs {stage.quorum} and has {able}{why}"


def _able(stage: Stage, people: People, reach: Reach) -> int:
    """Return how many different people of a stage can act; `local` counts as the account that owns the database."""
    means = {one for entry in stage.everybody for one in _means(entry, people)}
    return len({people.person(reach.user if one == LOCAL else one) for one in reach.ids if people.person(one) in means})


def _means(entry: str, people: People) -> frozenset[str]:
    name = entry.removeprefix(GROUP)
    return people.groups.get(name, frozenset[str]()) if entry.startswith(GROUP) else frozenset({entry})
