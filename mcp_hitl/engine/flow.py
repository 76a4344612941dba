"""Flows: plain async functions that survive restarts and can wait for people.

Each time a flow continues, it runs from the top. A step that is in the journal returns its stored result; the flow
really continues at the first step that is not.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any, ClassVar, Generic, TypeVar, cast

import anyio
import anyio.to_thread
from pydantic import TypeAdapter

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.flow import JournalEntry, StepState
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.engine.codec import decoded, returned, stored, told
from mcp_hitl.engine.contained import contained
from mcp_hitl.engine.journal import Journal
from mcp_hitl.engine.pauses import Pauses
from mcp_hitl.engine.run_ends import Failed, Place, RunStops, Unknown
from mcp_hitl.engine.started import acting
from mcp_hitl.engine.waits import Waits
from mcp_hitl.store.transaction import Transaction

Input = TypeVar("Input")
Output = TypeVar("Output")
T = TypeVar("T")

RETRIES = 2
BACKOFF = 0.5


class Flow(Generic[Input, Output]):
    """A durable process for the approvals of one kind. Subclass it, set the `kind`, and write `run`."""

    kind: ClassVar[str]

    @abstractmethod
    async def run(self, value: Input, step: Step) -> Output:
        """Do the work, from the requested payload to the result. Use `step` for everything that acts."""
        ...


class Step:
    """The operations of a flow. Each step has a name, and the journal finds it by its position and name."""

    def __init__(self, journal: Journal, waits: Waits, pauses: Pauses) -> None:
        """Use the journal, the waits and the pauses of one flow."""
        self._journal, self._waits, self._pauses = journal, waits, pauses

    async def do(
        self,
        name: str,
        action: Callable[..., Awaitable[T] | T],
        *arguments: Any,
        at_most_once: bool = False,
        retries: int = RETRIES,
        backoff: float = BACKOFF,
    ) -> T:
        """Run `action(*arguments)` and store its result in the journal.

        It runs at least once: again after a crash, and up to `retries` more times if it raises, after `backoff`
        seconds, then twice that, and so on. A parameter called `idempotency_key` gets a text that is the same each
        time. With `at_most_once` the step is claimed before it runs, and runs at most once: if it raises anything but
        `Failed`, or the process dies in it, the outcome is unknown and the flow stops.

        Raises:
            Unknown: with `at_most_once`, an earlier run was interrupted, or this one raised.
        """
        async with self._journal.step("do", name) as place:
            shape = returned(action)
            if place.entry is not None:
                await self._journal.end(place)
                return decoded(shape, _output_of(place.entry))
            await self._journal.flush()
            call = partial(_call, name, action, arguments, self._journal.key(place))
            try:
                if at_most_once:
                    with self._journal.activity.uncut():
                        result = await self._once(place, call, shape)
                    await self._journal.end(place)
                    return result
                output, result = stored(shape, await self._retried(place, call, retries, backoff))
            except Failed as failed:
                await self._journal.end(place)
                self._journal.write_later(place.failed(self._journal.secrecy.hide(str(failed))))
                raise
            await self._journal.end(place)
            self._journal.write_later(place.done(output))
            return result

    async def write(self, name: str, action: Callable[..., T], *arguments: Any) -> T:
        """Run `action(transaction, *arguments)` in the transaction that stores the step: both happen or neither.

        It acts through the transaction alone: it runs again if that is undone.
        """
        async with self._journal.step("write", name) as place:
            shape = returned(action)
            if place.entry is not None:
                await self._journal.end(place)
                return decoded(shape, place.entry.output)

            def act(tx: Transaction) -> tuple[str, T]:
                return stored(shape, action(tx, *arguments))

            result = await self._journal.write_with(place, act)
            await self._journal.end(place)
            return result

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
        """Wait until people have decided on `payload`. Return the approval; its payload may have been edited.

        The first wait of a flow is for the approval that started it. It has the kind's title and timeout, and `timeout`
        (`"7 days"`) must not be shorter. Every other wait opens an approval of the flow's kind, or of `kind`, which
        expires after `timeout`.
        """
        async with self._journal.step("wait", name) as place:
            return await self._waits.wait_for(place, payload, expires_in=timeout, kind=kind, title=title)

    async def report(self, step: str, message: str) -> None:
        """Report the flow's progress; the approval shows it."""
        async with self._journal.step("report", step) as place:
            await self._journal.end(place)
            if place.entry is None:
                self._journal.report_later(place, message)

    async def sleep(self, name: str, length: str | timedelta) -> None:
        """Continue after this length of time. Restarts do not make it longer."""
        async with self._journal.step("sleep", name) as place:
            await self._pauses.sleep(place, length)

    async def _retried(self, place: Place, call: Callable[[], Awaitable[T]], retries: int, backoff: float) -> T:
        for attempt in range(retries + 1):
            await self._journal.check(place)
            try:
                return await call()
            except Failed:
                raise
            except Exception:
                if attempt == retries:
                    raise
                await anyio.sleep(backoff * 2**attempt)
        raise AssertionError("a retry without an attempt")

    async def _once(self, place: Place, call: Callable[[], Awaitable[T]], shape: TypeAdapter[T]) -> T:
        """Claim the step, run it, and store its result at once."""
        await self._journal.write(place.claimed(), check=place)
        output, result = await self._acted(place, call, shape)
        try:
            await self._journal.write(self._journal.done(place, output))
        except (RunStops, HitlError):
            raise
        except Exception as error:
            raise Unknown(f"step {place.name!r} acted, but its result could not be recorded") from error
        return result

    async def _acted(self, place: Place, call: Callable[[], Awaitable[T]], shape: TypeAdapter[T]) -> tuple[str, T]:
        """Run a claimed step. Return its result, as JSON and as the flow gets it."""
        try:
            return stored(shape, await call())
        except Failed:
            raise
        except Exception as error:
            words = told(error, self._journal.secrecy.hide)
            raise Unknown(f"step {place.name!r} raised {words}, and may have acted") from error
        except anyio.get_cancelled_exc_class():
            # By a time limit around the step, or because we stop: then nobody sees this, and the claim says it.
            self._journal.activity.stop(Unknown(f"step {place.name!r} was cancelled, and may have acted"))
            raise


def _output_of(entry: JournalEntry) -> str | None:
    """Return the result of a step that an earlier run finished, as JSON.

    Raises:
        Failed: the step certainly did not act.
        Unknown: that run was interrupted in it.
    """
    match entry.state:
        case StepState.DONE:
            return entry.output
        case StepState.FAILED:
            raise Failed(entry.output)
        case StepState.CLAIMED:
            raise Unknown(f"step {entry.name!r} was interrupted, and may have acted")


async def _call(name: str, action: Callable[..., Awaitable[T] | T], arguments: tuple[Any, ...], key: str) -> T:
    named = {"idempotency_key": key} if _wants_key(action) else {}
    with contained(), acting(name):
        if inspect.iscoroutinefunction(action):
            return await cast("Awaitable[T]", action(*arguments, **named))
        result = await anyio.to_thread.run_sync(lambda: action(*arguments, **named))
        return await cast("Awaitable[T]", result) if inspect.isawaitable(result) else result


def _wants_key(action: Callable[..., Any]) -> bool:
    """Return True if the action has a parameter for its idempotency key."""
    return "idempotency_key" in (_signature if inspect.isroutine(action) else inspect.signature)(action).parameters


_signature = lru_cache(maxsize=256)(inspect.signature)
