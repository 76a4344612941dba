"""Approves under a disk that fails, says what it was told, and crashes: `python on_failing_disk.py DATABASE SYNCS`.

SYNCS is how often the disk fails from the decision on; the file that FAILING_SYNCS names counts it down.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore

AGENT = Principal("os:agent", Established.OS_USER)
PERSON = Principal("os:ana", Established.OS_USER)


async def main(database: Path, fail: Callable[[], object]) -> None:
    """Ask, let the disk fail, approve, and be killed."""
    desk = Desk(SqliteStore(database), effects=EFFECTS)
    asked = await desk.approvals.submit(AGENT, "action", {"do": "it"})
    fail()
    told = "approved"
    try:
        await desk.decisions.decide(PERSON, Shown.of(asked), Verdict.APPROVE, assurance=Assurance.LOCAL)
    except HitlError as error:
        told = error.code
    seen = (await desk.approvals.get(AGENT, asked.id)).status
    print(asked.id, told, seen.value, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    counter = Path(os.environ["FAILING_SYNCS"])
    anyio.run(main, Path(sys.argv[1]), partial(counter.write_text, sys.argv[2]))
