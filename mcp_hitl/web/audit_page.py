"""The evidence: how the chain stands, a check of all of it, and an export."""

import os
import tempfile

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from mcp_hitl.desk import Desk
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.web.rendering import page


class EvidencePages:
    """The routes of the evidence."""

    def __init__(self, desk: Desk) -> None:
        """Over `desk`."""
        self._desk = desk

    async def show(self, request: Request) -> Response:
        """`GET /evidence`."""
        entries, head = await self._desk.evidence.head()
        return page(
            request,
            "evidence.html",
            count=entries,
            head=head,
            policy=await self._desk.read(lambda view: view.log.latest(Event.POLICY_CHANGED.value)),
            database=await self._desk.inbox.database_id(),
            now=self._desk.clock(),
        )

    async def verify(self, request: Request) -> Response:
        """`POST /evidence/verify`: read all of it and compare."""
        found = await self._desk.evidence.verify()
        at = rfc3339(self._desk.clock())
        if found.wrong is None:
            message = f"Intact: all entries, {found.entries:,} up to {found.head}, and all that is stored agrees."
        else:
            message = f"Not intact: {found.wrong}."
        return JSONResponse({"intact": found.wrong is None, "message": f"{message} Checked at {at}."})

    async def export(self, request: Request) -> Response:
        """`GET /evidence/export?redact=1`: the whole log as JSON Lines."""
        redact = request.query_params.get("redact") == "1"
        try:
            name = await self._written(redact)
        except OSError as error:
            raise Unavailable(f"The export cannot be written: {error.strerror}. Make room, and try again.") from error
        stem = "audit-redacted" if redact else "audit"
        return FileResponse(
            name, media_type="application/jsonl", filename=f"{stem}.jsonl", background=BackgroundTask(os.unlink, name)
        )

    async def _written(self, redact: bool) -> str:
        """Write an export, and return the path of its file."""
        handle, name = tempfile.mkstemp(prefix="mcp-hitl-audit-", suffix=".jsonl")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                await self._desk.evidence.export(lambda line: file.write(line + "\n"), redact=redact)
        except BaseException:
            os.unlink(name)
            raise
        return name
