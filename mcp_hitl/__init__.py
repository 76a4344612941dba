"""The approval desk for AI agents: an agent asks, a person decides, and it can be proved afterwards.

For other programs: `Approvals` opens, awaits and decides approvals and puts functions behind them; `Flow` and `Step`
make durable processes that wait for people. See docs/reference/library.md and docs/reference/flows.md.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_hitl.domain.approvals.approval import Approval, Decision, OutcomeState, Status
    from mcp_hitl.domain.policy.kinds import Kind
    from mcp_hitl.domain.policy.policy import Assurance, Policy, Stage, Verdict
    from mcp_hitl.domain.policy.principal import Established, Principal
    from mcp_hitl.domain.values.errors import HitlError
    from mcp_hitl.engine.flow import Flow, Step
    from mcp_hitl.engine.run_ends import Failed, NotApproved
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
    "engine.flow": ("Flow", "Step"),
    "engine.run_ends": ("Failed", "NotApproved"),
    "domain.approvals.approval": ("Approval", "Decision", "OutcomeState", "Status"),
    "domain.values.errors": ("HitlError",),
    "domain.policy.kinds": ("Kind",),
    "domain.policy.policy": ("Assurance", "Policy", "Stage", "Verdict"),
    "domain.policy.principal": ("Established", "Principal"),
    "library": ("Approvals",),
    "store.transaction": ("Transaction",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: commands of the terminal need none of them."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mcp_hitl' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mcp_hitl.{_HOME_OF[name]}"), name)
