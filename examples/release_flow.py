"""A flow as you would write one: release notes are read by an editor, then the release is let go, then published.

    python examples/release_flow.py 2.0 "Faster, and it survives restarts."

It asks twice; answer in another terminal with the commands that it prints. Stop it whenever you like: started again
with the same arguments, it goes on where it was.
"""

import sys
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel

from mcp_hitl import Approval, Approvals, Flow, Kind, NotApproved, OutcomeState, Status, Step

SITE = Path("site")
"""The outside world of this example: publishing is writing a file here."""


class Release(BaseModel):
    """What is asked for."""

    version: str
    notes: str


class Published(BaseModel):
    """What was done."""

    path: str


class ReleaseFlow(Flow[Release, Published]):
    """Tidy up, ask an editor, ask for the go, publish."""

    kind = "release"

    async def run(self, value: Release, step: Step) -> Published:
        """Publish the notes as the editor left them."""
        tidy = await step.do("tidy", tidied, value)
        edited = await approved(step, "notes", tidy.model_dump())
        await step.report("notes", "The notes are final; waiting for the go")
        await approved(step, "go", edited.payload, f"Release {tidy.version} now?")
        return await step.do("publish", publish, edited.payload, at_most_once=True)


async def approved(step: Step, name: str, payload: dict[str, Any], title: str | None = None) -> Approval:
    """Wait for a yes; a no ends the flow."""
    approval = await step.wait_for_approval(name, payload=payload, timeout="7 days", title=title)
    if approval.status is not Status.APPROVED:
        raise NotApproved(approval)
    return approval


def tidied(release: Release) -> Release:
    """Runs at least once, so it must not mind running again."""
    return Release(version=release.version.removeprefix("v"), notes=release.notes.strip())


def publish(payload: dict[str, Any]) -> Published:
    """Runs at most once: if the power fails in here, a person looks whether it happened."""
    release = Release.model_validate(payload)
    SITE.mkdir(exist_ok=True)
    path = SITE / f"{release.version}.md"
    path.write_text(f"# {release.version}\n\n{release.notes}\n")
    return Published(path=str(path))


async def main(version: str, notes: str, database: str = "releases.db") -> int:
    """Ask for a release and see it through; 0 where it was published."""
    approvals = Approvals(database, name="release-script")
    approvals.add(ReleaseFlow, Kind(name="release", schema=Release.model_json_schema()))
    async with approvals.running():
        payload = {"version": version, "notes": notes}
        asked = await approvals.request(f"Release {version}", payload, kind="release", dedup_key=version)
        print(f"Waiting. In another terminal: mcp-hitl --db {database} pending", flush=True)
        done = await approvals.outcome(asked.id)
        print(f"{done.title}: {done.outcome.state.value} {done.outcome.result or done.outcome.error or ''}")
        return 0 if done.outcome.state is OutcomeState.SUCCEEDED else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(anyio.run(main, sys.argv[1], sys.argv[2]))
