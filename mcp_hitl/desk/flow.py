"""Flows: plain async functions that survive restarts and can wait for people.

A flow is run from the top each time it goes on. Steps that are in its journal return what they returned then; the
first one that is not is where it really goes on.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import anyio
import anyio.to_thread
from pydantic_core import to_jsonable_python

from mcp_hitl.desk.shapes import decoded, encoded, returned, told
from mcp_hitl.domain.approval import Approval
from mcp_hitl.domain.errors import HitlError
from mcp_hitl.domain.flow import JournalEntry, StepState
from mcp_hitl.domain.presentation import verdict_line
from mcp_hitl.domain.text import one_line

if TYPE_CHECKING:
    from mcp_hitl.desk.journal import Journal
    from mcp_hitl.desk.waits import Waits
    from mcp_hitl.store.transaction import Transaction

Input = TypeVar("Input")
Output = TypeVar("Output")
T = TypeVar("T")

MOST_WHY = 500
"""Characters of why a step failed."""
RETRIES = 2
BACKOFF = 0.5


class Flow(Generic[Input, Output]):
    """A durable process for the approvals of one kind. Subclass it, name the `kind`, and write `run`."""

    kind: ClassVar[str]

    @abstractmethod
    async def run(self, value: Input, step: Step) -> Output:
        """What happens, from what was asked for to its result. Everything that acts goes through `step`."""
        ...


class NotApproved(Exception):
    """Raise it to end a flow because a person did not approve; the approval says how and why."""

    def __init__(self, approval: Approval) -> None:
        """End over this approval."""
        super().__init__(verdict_line(approval, approval.expires_at))
        self.approval = approval


class Failed(Exception):
    """Raise it in a step to say that the action was certainly not taken: nothing is unknown, nor tried again.

    It is in the journal. A flow that catches it may take another way, and gets it again, with the same words, each time
    that it is run; one that does not fails.
    """


class Unknown(Exception):
    """A step acted, or did not: nobody can tell. The flow stops until a person reconciles it."""


class FlowChanged(Exception):
    """The code does not do what its journal says it did; going on would be a guess."""


class Suspended(Exception):
    """The flow waits; it holds no thread and no memory until it goes on."""


class Held(Suspended):
    """The emergency stop is on: the flow is let go of, and goes on after it."""


class Interrupted(Suspended):
    """The run was cancelled from inside while it wrote: its journal says what was written, and the next run goes on."""


class LeaseLost(Exception):
    """Another process has the flow now; this one has written nothing and must stop."""


class Step:
    """What a flow does things with. Each step has a name, and is found in the journal by its place and name."""

    def __init__(self, journal: Journal, waits: Waits) -> None:
        """Work on the journal of one flow, and on what it waits for."""
        self._journal, self._waits = journal, waits

    async def do(
        self,
        name: str,
        action: Callable[..., Awaitable[T] | T],
        *arguments: Any,
        at_most_once: bool = False,
        retries: int = RETRIES,
        backoff: float = BACKOFF,
    ) -> T:
        """Run `action(*arguments)` and journal what it returns.

        It runs at least once: again after a crash, and up to `retries` times more when it raises, after `backoff`
        seconds, then twice that, and so on. A parameter called `idempotency_key` is given a text that is the same each
        time. With `at_most_once` it is claimed before it runs, and runs at most once: if it raises anything but
        `Failed`, or the process dies in it, the flow stops as unknown.

        Raises:
            Unknown: an earlier run was interrupted, or this one raised, with `at_most_once`.
        """
        with self._journal.stopping():
            place = self._journal.next("do", name)
            shape = returned(action)
            if place.entry is not None and place.entry.state is StepState.DONE:
                return decoded(shape, place.entry.output)
            if place.entry is not None and place.entry.state is StepState.FAILED:
                raise Failed(place.entry.output)
            if place.entry is not None:
                raise Unknown(f"step {name!r} was interrupted, and may have acted")
            await self._journal.flush()
            key = self._journal.key(place)
            if not at_most_once:
                try:
                    output = encoded(await self._retried(action, arguments, key, retries, backoff))
                except Failed as failed:
                    self._journal.write_later(place.failed(failed))
                    raise
                result = decoded(shape, output)
                self._journal.write_later(place.done(output))
                return result
            await self._journal.write(place.claimed(), checked=True)
            try:
                output = encoded(await _call(action, arguments, key))
                result = decoded(shape, output)
            except Failed as failed:
                self._journal.write_later(place.failed(failed))
                raise
            except Exception as error:
                raise Unknown(f"step {name!r} raised {told(error)}, and may have acted") from error
            except anyio.get_cancelled_exc_class():
                # By a time limit around the step, or because we stop: then nobody sees this, and the claim says it.
                self._journal.stop(Unknown(f"step {name!r} was cancelled, and may have acted"))
                raise
            try:
                await self._journal.write(place.done(output))
            except (LeaseLost, Suspended, HitlError):
                raise
            except Exception as error:
                raise Unknown(f"step {name!r} acted, and its result could not be recorded") from error
            return result

    async def write(self, name: str, action: Callable[..., T], *arguments: Any) -> T:
        """Run `action(transaction, *arguments)` in the transaction that journals it: both happen, once, or neither."""
        with self._journal.stopping():
            place = self._journal.next("write", name)
            shape = returned(action)
            if place.entry is not None:
                return decoded(shape, place.entry.output)

            def act(tx: Transaction) -> tuple[str, T]:
                output = encoded(action(tx, *arguments))
                return output, decoded(shape, output)

            return await self._journal.write_with(place, act)

    # The time is the approval's deadline, not this call's.
    async def wait_for_approval(
        self,
        name: str,
        *,
        payload: Any,
        timeout: str | timedelta | None = None,  # noqa: ASYNC109
        kind: str | None = None,
        title: str | None = None,
    ) -> Approval:
        """Wait until people have decided on `payload`; return the approval, whose own payload may have been edited.

        The first wait of a flow is for the approval that started it: with the kind's title, and the kind's timeout,
        than which `timeout` (`"7 days"`) must not be shorter. Every other one opens an approval, of the flow's kind or
        of `kind`, which expires after `timeout`.
        """
        with self._journal.stopping():
            place = self._journal.next("wait", name)
            plain = to_jsonable_python(payload, by_alias=True)
            return await self._waits.wait_for(place, plain, expires_in=timeout, kind=kind, title=title)

    async def report(self, step: str, message: str) -> None:
        """Tell how far the flow is; the approval shows it."""
        with self._journal.stopping():
            place = self._journal.next("report", step)
            if place.entry is None:
                self._journal.report_later(place, message)

    async def sleep(self, name: str, length: str | timedelta) -> None:
        """Go on after this length of time; restarts do not lengthen it."""
        with self._journal.stopping():
            await self._journal.sleep(self._journal.next("sleep", name), length)

    async def _retried(
        self,
        action: Callable[..., Awaitable[T] | T],
        arguments: tuple[Any, ...],
        key: str,
        retries: int,
        backoff: float,
    ) -> T:
        for attempt in range(retries + 1):
            await self._journal.check()
            try:
                return await _call(action, arguments, key)
            except Failed:
                raise
            except Exception:
                if attempt == retries:
                    raise
                await anyio.sleep(backoff * 2**attempt)
        raise AssertionError("a retry without an attempt")


class Place:
    """Where a step stands: its position, what it does, its name, and what the journal has there."""

    def __init__(self, position: int, step: str, name: str, entry: JournalEntry | None) -> None:
        """A place in a journal."""
        self.position, self.step, self.name, self.entry = position, step, name, entry

    def claimed(self) -> JournalEntry:
        """The entry that says: about to act."""
        return JournalEntry(self.position, self.step, self.name, StepState.CLAIMED)

    def done(self, output: str | None) -> JournalEntry:
        """The entry that says: acted, with this result."""
        return JournalEntry(self.position, self.step, self.name, StepState.DONE, output)

    def failed(self, why: Failed) -> JournalEntry:
        """The entry that says: did certainly not act."""
        return JournalEntry(self.position, self.step, self.name, StepState.FAILED, one_line(str(why), MOST_WHY))


async def _call(action: Callable[..., Awaitable[T] | T], arguments: tuple[Any, ...], key: str) -> T:
    named = {"idempotency_key": key} if _wants_key(action) else {}
    try:
        if inspect.iscoroutinefunction(action):
            return await cast("Awaitable[T]", action(*arguments, **named))
        result = await anyio.to_thread.run_sync(lambda: action(*arguments, **named))
        return await cast("Awaitable[T]", result) if inspect.isawaitable(result) else result
    except anyio.get_cancelled_exc_class():
        if anyio.current_effective_deadline() == -inf:
            raise  # we stop
        # Something that the action waited for was cancelled: that is the action's failure, not the server's end.
        raise RuntimeError("it was cancelled from inside") from None
    except SystemExit as error:
        raise RuntimeError("it wanted to end the whole program") from error


def _wants_key(action: Callable[..., Any]) -> bool:
    """Whether the action has a parameter for its idempotency key."""
    return "idempotency_key" in (_signature if inspect.isroutine(action) else inspect.signature)(action).parameters


_signature = lru_cache(maxsize=256)(inspect.signature)
