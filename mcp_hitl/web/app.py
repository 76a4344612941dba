"""The inbox as one application: every route that it has."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from mcp_hitl.desk import Desk
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.web.approval_page import Approvals
from mcp_hitl.web.audit_page import EvidencePages
from mcp_hitl.web.batch import Batch
from mcp_hitl.web.decisions import Deciding
from mcp_hitl.web.door import Door
from mcp_hitl.web.edits import Editing
from mcp_hitl.web.errors import nobody_there, not_served, refused
from mcp_hitl.web.lists import Lists
from mcp_hitl.web.live import Live
from mcp_hitl.web.page_seals import Seals
from mcp_hitl.web.rendering import asset
from mcp_hitl.web.sign_in import SigningIn
from mcp_hitl.web.witness import Witnesses


class Inbox:
    """The pages over a desk; `app` serves them while `open` keeps them live."""

    def __init__(self, desk: Desk, *, key: bytes, how: str) -> None:
        """`key` is the secret that the processes on the database share; `how` says how to get a sign-in link."""
        self.key = key
        self._live = Live(desk)
        witnesses = Witnesses(key)
        self._door = SigningIn(desk, key, how, witnesses)
        seals = Seals(key)
        lists, approvals, evidence = Lists(desk), Approvals(desk, seals), EvidencePages(desk)
        deciding, editing = Deciding(desk, seals), Editing(desk, seals)
        batch = Batch(desk, seals, deciding)
        one = "/approvals/{id}"
        self.app = Starlette(
            routes=[
                Route("/", lists.pending),
                Route("/history", lists.history),
                Route("/numbers", lists.numbers),
                Route(one, approvals.show),
                Route(one + "/decide", deciding.decide, methods=["POST"]),
                Route(one + "/edit", editing.edit),
                Route(one + "/edit", editing.save, methods=["POST"]),
                Route(one + "/cancel", approvals.cancel, methods=["POST"]),
                Route(one + "/lift", approvals.lift, methods=["POST"]),
                Route(one + "/reconcile", approvals.reconcile, methods=["POST"]),
                Route("/batch", batch.show),
                Route("/batch", batch.decide, methods=["POST"]),
                Route("/evidence", evidence.show),
                Route("/evidence/verify", evidence.verify, methods=["POST"]),
                Route("/evidence/export", evidence.export),
                Route("/live", self._live.stream),
                Route("/changes", self._live.changes),
                Route("/sign-in", self._door.show),
                Route("/sign-in", self._door.sign_in, methods=["POST"]),
                Route("/sign-out", self._sign_out, methods=["POST"]),
                Route("/inbox/identity", self._door.identity),
                Route("/assets/{digest}/{file}", asset),
            ],
            middleware=[Middleware(Door, desk=desk, witnesses=witnesses)],
            exception_handlers={HitlError: refused, HTTPException: not_served, ClientDisconnect: nobody_there},
        )

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Keep open pages live while the block runs."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._live.run)
            tasks.start_soon(self._live.end_at_stop)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _sign_out(self, request: Request) -> Response:
        response = await self._door.sign_out(request)
        self._live.end(request.state.session)
        return response
