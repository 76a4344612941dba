"""A flow whose one action goes on until the test ends it: it notes its process, and then reads a pipe."""

import os
from pathlib import Path
from typing import Any

import anyio.to_thread

from mcp_hitl import Flow, NotApproved, Status, Step

FOLDER = "CLOCKED_ACTION"
"""The variable that names the folder with the notes and the pipe."""


class WorkFlow(Flow[dict[str, Any], str]):
    """Ask people, then act, once."""

    kind = "work"

    async def run(self, value: dict[str, Any], step: Step) -> str:
        """Act if it is approved."""
        approval = await step.wait_for_approval("people", payload=value)
        if approval.status is not Status.APPROVED:
            raise NotApproved(approval)
        return await step.do("act", act, at_most_once=True)


async def act() -> str:
    """Go on until somebody writes to the pipe, and say what they wrote."""
    folder = Path(os.environ[FOLDER])
    with (folder / "notes").open("a") as notes:
        notes.write(f"{os.getpid()}\n")
    return await anyio.to_thread.run_sync((folder / "pipe").read_text)
