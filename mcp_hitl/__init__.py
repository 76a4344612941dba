"""The approval desk for AI agents: an agent asks, a person decides, and it can be proved afterwards.

For other programs: `Approvals` opens, awaits and decides approvals and puts functions behind them; `Flow` and `Step`
make durable processes that wait for people. See docs/reference/library.md and docs/reference/flows.md.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_hitl.desk.flow import Failed, Flow, NotApproved, Step
    from mcp_hitl.domain.approval import Approval, Decision, OutcomeState, Status
    from mcp_hitl.domain.errors import HitlError
    from mcp_hitl.domain.kinds import Kind
    from mcp_hitl.domain.policy import Assurance, Policy, Stage, Verdict
    from mcp_hitl.domain.principal import Established, Principal
    from mcp_hitl.library import Approvals
    from mcp_hitl.store.transaction import Transaction

__version__ = "0.1.0"

__all__ = [
    "Approval",
    "Approvals",
    "Assurance",
    "Decision",
    "Established",
    "Failed",
    "Flow",
    "HitlError",
    "Kind",
    "NotApproved",
    "OutcomeState",
    "Policy",
    "Principal",
    "Stage",
    "Status",
    "Step",
    "Transaction",
    "Verdict",
]

_HOMES = {
    "desk.flow": ("Failed", "Flow", "NotApproved", "Step"),
    "domain.approval": ("Approval", "Decision", "OutcomeState", "Status"),
    "domain.errors": ("HitlError",),
    "domain.kinds": ("Kind",),
    "domain.policy": ("Assurance", "Policy", "Stage", "Verdict"),
    "domain.principal": ("Established", "Principal"),
    "library": ("Approvals",),
    "store.transaction": ("Transaction",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: commands of the terminal need none of them."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mcp_hitl' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mcp_hitl.{_HOME_OF[name]}"), name)
