"""Approvals for other Python programs: request, await and decide them, and put a function behind one.

A function behind an approval does not run when you call it. The call requests the approval. Once people have approved,
the function runs with exactly the payload that they approved, at most once, in any process that serves then, even
after a restart.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec

import anyio

from mcp_hitl.config.policy_source import PolicySource
from mcp_hitl.config.settings import load
from mcp_hitl.config.title_templates import check_hidden, check_kept
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState, Status
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.policy import Assurance, Profile, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.dialect import check_dialect
from mcp_hitl.domain.values.errors import HitlError, Invalid, Unavailable
from mcp_hitl.engine.codec import marks
from mcp_hitl.engine.flow import Flow
from mcp_hitl.engine.paths import path_of
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.gate import Gated
from mcp_hitl.process.desk_views import views_of
from mcp_hitl.process.workers import serve
from mcp_hitl.store.opening import open_store

P = ParamSpec("P")

FOREVER = 10 * 365 * 24 * 3600.0


class Approvals:
    """The approvals in one database, for one program.

    Use it as a context, or pass `lifespan` to your server:

        approvals = Approvals("approvals.db", name="billing")
        async with approvals.running():
            approval = await approvals.request("Refund order 17", {"order": 17, "amount": 40})
            approval = await approvals.wait(approval.id)
    """

    def __init__(
        self,
        database: str | Path | None = None,
        *,
        name: str = "program",
        policy: str | Path | None = None,
        wait_seconds: float = 0,
        tool_error: Callable[[str], Exception] | None = None,
    ) -> None:
        """Use `database` (a path; default: the one that `mcp-hitl` uses), with `name` as the requester.

        `policy` is a policy file. A gated function waits `wait_seconds` for a decision before it answers "pending".
        If it refuses, it raises a `HitlError`. With `tool_error`, it raises `tool_error(message)` instead: use the
        error class of your framework whose text a model can read, such as the MCP SDK's `ToolError`.

        Raises:
            Invalid: the policy file has mistakes.
        """
        environment = {} if policy is None else {"MCP_HITL_CONFIG": str(policy)}
        self._settings = load(environment, database=None if database is None else str(database))
        self._kinds: dict[str, Kind] = dict(self._settings.rulebook.kinds)
        self._flows: dict[str, type[Flow[Any, Any]]] = {}
        self._wait_seconds = wait_seconds
        self._tool_error = tool_error
        self._desk: Desk | None = None
        self.requester = Principal(name, Established.PROGRAM)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Approvals]:
        """Open the database, run timers and flows, and close it after the block.

        Raises:
            Unavailable: the database cannot be opened.
        """
        settings = self._settings
        store = open_store(settings.database)
        own = {name: self._kinds[name] for name in self._flows}
        policy = PolicySource(settings, lambda read: read.completed(own, settings.rulebook))
        desk = Desk(
            store,
            effects=EFFECTS,
            rulebook=policy.rulebook,
            retention=settings.retention,
            vouched=True,
        )
        raised: Exception | None = None
        try:
            await desk.check_policy(self.requester)
            async with serve(desk, self._flows, policy=policy):
                self._desk = desk
                try:
                    yield self
                except Exception as error:
                    raised = error  # raised below: in here, it would come out inside an ExceptionGroup
        finally:
            self._desk = None
            await store.close()
        if raised is not None:
            raise raised

    @asynccontextmanager
    async def lifespan(self, _server: object) -> AsyncGenerator[Approvals]:
        """Do the same as `running`, in the form of a server's lifespan."""
        async with self.running():
            yield self

    async def request(
        self, title: str, details: JsonObject, *, kind: str = "action", dedup_key: str | None = None
    ) -> Approval:
        """Request an approval, or return the existing one for the same request.

        Raises:
            Invalid, Conflict, TooMany: nothing was stored.
        """
        return await self.desk.approvals.submit(self.requester, kind, details, claim=title, dedup_key=dedup_key)

    async def get(self, approval_id: str, *, approver: Principal | None = None) -> Approval:
        """Return one approval.

        Give the `approver` whom you show it to: whoever may decide it sees the fields that its kind marks `writeOnly`
        while it waits. Everybody else sees it without them.

        Raises:
            NotFound: there is no such approval.
        """
        if approver is None:
            return await self.desk.approvals.get(self.requester, approval_id)
        return await self.desk.approvals.get(approver, approval_id, deciding=Assurance.STEP_UP)

    async def wait(self, approval_id: str, *, seconds: float = FOREVER) -> Approval:
        """Return an approval once it is resolved, or in its present state after `seconds`.

        Raises:
            NotFound: there is no such approval.
        """
        return await self.desk.approvals.wait(self.requester, approval_id, seconds=seconds)

    async def outcome(self, approval_id: str, *, seconds: float = FOREVER) -> Approval:
        """Return an approval once its action here has ended too, or in its present state after `seconds`.

        Raises:
            NotFound: there is no such approval.
        """
        changed = anyio.Event()
        async with self.desk.feed.listen(approval_id, lambda _: changed.set()):
            with anyio.move_on_after(seconds):
                while not _over(await self.wait(approval_id)):
                    await changed.wait()
                    changed = anyio.Event()
        return await self.get(approval_id)

    def shape(self, approval: Approval) -> JsonObject:
        """Return the approval as JSON for a model or another program, as the tools of `mcp-hitl` do."""
        return self._shape(self.desk.see(self.requester, approval, self.desk.clock()))

    async def approve(
        self,
        approval: Approval,
        approver: Principal,
        *,
        assurance: Assurance,
        comment: str | None = None,
        answer: JsonObject | None = None,
        looked: timedelta | None = None,
    ) -> Approval:
        """Record that `approver`, whom this program has identified, approves exactly what `approval` shows.

        The decision is for the revision and the stage in `approval`. `assurance` says how sure this program is that a
        person decided; the policy sets the minimum. `looked` is how long they had it on screen, if known.

        Raises:
            NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid, Paused: nothing was changed.
        """
        return await self._decide(approval, approver, Verdict.APPROVE, assurance, comment, answer, looked)

    async def reject(
        self,
        approval: Approval,
        approver: Principal,
        *,
        assurance: Assurance,
        comment: str,
        looked: timedelta | None = None,
    ) -> Approval:
        """Record that `approver` rejects the approval; see `approve`."""
        return await self._decide(approval, approver, Verdict.REJECT, assurance, comment, None, looked)

    def add(self, flow: type[Flow[Any, Any]], kind: Kind | None = None) -> None:
        """Run your own flow, for `kind` or for the kind of its name in the policy file. Call this before `running`.

        Raises:
            Invalid: there is no kind with the flow's name, it has a flow already, a team's policy does not name it, it
                would show a field that its schema marks `writeOnly`, or its schema has a pattern that RE2 cannot match.
        """
        if flow.kind in self._flows:
            raise Invalid(f"The kind {flow.kind!r} has a flow already. An approval for one flow must not run another.")
        if self._settings.rulebook.profile is Profile.TEAM and flow.kind not in self._settings.rulebook.kinds:
            raise Invalid(f"A team's policy has to say who decides: add a table [kinds.{flow.kind}] to it.")
        if kind is not None:
            check_hidden(kind)
            check_dialect(kind.schema)
            self._kinds[kind.name] = replace(kind, program=self._definer(kind))
        if flow.kind not in self._kinds:
            raise Invalid(
                f"{flow.__name__} is for the kind {flow.kind!r}, which the policy file does not have. "
                "Add it there, or give a Kind of this name."
            )
        check_kept(self._kinds[flow.kind], marks(flow.run))
        self._kinds[flow.kind] = replace(self._kinds[flow.kind], flow=path_of(flow))
        self._flows[flow.kind] = flow

    def gate(
        self, *, title: str, kind: str | None = None
    ) -> Callable[[Callable[P, Awaitable[object]]], Callable[P, Awaitable[JsonObject]]]:
        """Put an async function behind an approval.

        A call requests the approval and returns it as JSON. Once people have approved, the function runs with the
        payload that they approved (they may have edited it), and its result is in the approval's `outcome`. `title` is
        a template over its arguments. `kind` (default: the function's name) selects stages and rules in the policy
        file.
        """

        def decorate(function: Callable[P, Awaitable[object]]) -> Callable[P, Awaitable[JsonObject]]:
            gated = Gated(function, kind)
            known = self._kinds.get(gated.name) or gated.kind
            check_kept(known, gated.schema)
            self.add(gated.flow, replace(known, title=known.title or title))
            return gated.asking(partial(self._ask, gated.name))

        return decorate

    async def _ask(self, kind: str, arguments: Callable[[Kind], JsonObject]) -> JsonObject:
        """Request the approval of a call, and return it without its secrets, since a model reads it."""
        try:
            approval = await self.desk.approvals.submit(self.requester, kind, arguments(self._kinds[kind]))
            if self._wait_seconds > 0:
                seconds = self._wait_seconds
                approval = await self.desk.approvals.wait(self.requester, approval.id, seconds=seconds)
        except HitlError as error:
            if self._tool_error is None:
                raise
            raise self._tool_error(str(error)) from error
        return self.shape(approval)

    def _definer(self, kind: Kind) -> str | None:
        """Return None if the policy defined the kind, which can bring another flow; else the name of this program."""
        known = self._settings.rulebook.kinds.get(kind.name)
        return None if known is not None and replace(kind, flow=known.flow) == known else self.requester.id

    def _shape(self, approval: Seen) -> JsonObject:
        return views_of(self.desk, inbox="in a terminal, with mcp-hitl pending").shape(approval)

    @property
    def desk(self) -> Desk:
        """The desk behind these approvals, while `running`.

        Raises:
            Unavailable: it is not running.
        """
        if self._desk is None:
            raise Unavailable("The approvals are not open. Use `async with approvals.running():` around this.")
        return self._desk

    async def _decide(
        self,
        approval: Approval,
        approver: Principal,
        verdict: Verdict,
        assurance: Assurance,
        comment: str | None,
        answer: JsonObject | None,
        looked: timedelta | None,
    ) -> Approval:
        return await self.desk.decisions.decide(
            approver, Shown.of(approval), verdict, assurance=assurance, comment=comment, answer=answer, looked=looked
        )


def _over(approval: Approval) -> bool:
    """Return True if nothing more will happen to the approval here."""
    carried_out = approval.flow is not None and approval.opened_by is None
    going = approval.outcome.state in {OutcomeState.NONE, OutcomeState.RUNNING}
    return not (approval.status is Status.APPROVED and carried_out and going)
