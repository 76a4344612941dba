"""The assurance that each way of deciding gives."""

from collections.abc import Iterable
from dataclasses import dataclass

from mcp_hitl.domain.policy.policy import Assurance

AT_TERMINAL = Assurance.LOCAL
"""A person answered at a terminal: an agent in the same account can have one too (THREATS T17)."""
IN_FORM = Assurance.LOCAL
"""A client sent the answer to a form: it can fill in a form that it has shown to nobody (THREATS T18)."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """A way of signing in at the inbox, and the assurance of a session that begins so."""

    name: str
    assurance: Assurance


LINK = SignIn("link", Assurance.LOCAL)
"""A link that works once: whoever has it is at the machine where it was made, and no more is known."""


def highest(assurances: Iterable[Assurance]) -> Assurance:
    """Return the highest of `assurances`; `none` if there are none."""
    return max(assurances, key=list(Assurance).index, default=Assurance.NONE)
