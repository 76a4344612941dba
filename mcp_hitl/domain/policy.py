"""Who may decide, in which order, how many, and how sure we must be that a person did."""

from dataclasses import dataclass
from enum import StrEnum

from mcp_hitl.domain.principal import LOCAL


class Verdict(StrEnum):
    """What an approver can say."""

    APPROVE = "approve"
    REJECT = "reject"


class Assurance(StrEnum):
    """How sure we are that a person other than the agent decided; in ascending order."""

    NONE = "none"
    """Nobody was asked: a script with `--yes`."""
    LOCAL = "local"
    """Somebody at the requester's own machine: a form in the client, the terminal."""
    SESSION = "session"
    """Signed in as a person, with a credential that the requester does not hold."""
    STEP_UP = "step-up"
    """Freshly re-authenticated."""

    def at_least(self, least: "Assurance") -> bool:
        """Whether this is as much as `least` or more."""
        order = list(Assurance)
        return order.index(self) >= order.index(least)


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the decision: `quorum` approvals by people whom `approvers` names (ids, `group:NAME`, `local`)."""

    approvers: tuple[str, ...] = (LOCAL,)
    quorum: int = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one approval, copied onto it when it is opened. The defaults are those of one person's machine."""

    stages: tuple[Stage, ...] = (Stage(),)
    rejections: int = 1
    assurance: Assurance = Assurance.LOCAL
    unattended: bool = False

    def counts(self, assurance: Assurance) -> bool:
        """Whether a decision of this assurance is taken at all."""
        return assurance.at_least(self.assurance) or (assurance is Assurance.NONE and self.unattended)
