"""Reads the policy file again when it has changed, so that a right that was withdrawn there no longer counts."""

import logging
from collections.abc import Callable, Collection

import anyio.to_thread

from mcp_hitl.config.policy_source import Policy
from mcp_hitl.desk import Desk
from mcp_hitl.domain.evidence.event_names import Event

logger = logging.getLogger(__name__)


class PolicyCheck:
    """Lets a desk go by the policy file as it is now (THREATS T21)."""

    name = "the look at the policy file"
    wakes_on: Collection[Event] = ()
    seconds = 1.0

    def __init__(self, desk: Desk, look: Callable[[], Policy | None]) -> None:
        """Let `desk` go by what `look` finds; it returns None while nothing has changed."""
        self._desk = desk
        self._look = look

    async def turn(self) -> None:
        """Take over a changed policy."""
        policy = await anyio.to_thread.run_sync(self._look)
        if policy is not None:
            self._desk.retention = policy.retention
            await self._desk.go_by(policy.rulebook)
            if self._desk.rulebook.mistake is not None:
                logger.warning("nothing is decided or used until the policy is mended: %s", self._desk.rulebook.mistake)
