"""Who sends a request: the server asks this for each one, and keeps no answer for the next."""

from collections.abc import Callable
from typing import Any

from mcp.server.context import ServerRequestContext

from mcp_hitl.domain.policy.principal import Principal

Identify = Callable[[ServerRequestContext[Any, Any]], Principal]
"""Returns the principal who sends a request. It may raise a `HitlError`; then the request is refused."""


def always(principal: Principal) -> Identify:
    """Return an `Identify` for a server whose every request comes from `principal`."""
    return lambda context: principal
