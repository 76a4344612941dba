"""Runs a command in an event loop and maps errors to exit codes."""

import json
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

import click

from mcp_hitl.domain.values.errors import HitlError, Invalid
from mcp_hitl.domain.values.text import in_order

DONE, NO, REFUSED = 0, 1, 2
"""Exit codes.

0: done. 1: the person answered no, `doctor` found something unsafe, or `audit verify` found a fault. 2: wrong use, or
refused.
"""


def run(main: Callable[[], Awaitable[int]], *, as_json: bool = False) -> NoReturn:
    """Run `main` and exit with its code, or with 2 and a message if it is refused."""
    # Imported late: `--help` needs no event loop.
    import anyio

    async def guarded() -> int:
        _wake_at_signals()
        try:
            return await main()
        except UnicodeEncodeError:
            error = Invalid("The input is not valid UTF-8 text.")
        except HitlError as refusal:
            error = refusal
        if as_json:
            print_json({"code": error.code, "message": str(error)})
        else:
            click.echo(in_order(f"mcp-hitl: {error}"), err=True)
        return REFUSED

    raise SystemExit(anyio.run(guarded))


def _wake_at_signals() -> None:
    """Have every signal wake the event loop.

    Otherwise Ctrl-C in the moment before the loop goes to sleep has no effect until something else wakes it.
    """
    import asyncio

    with suppress(AttributeError, NotImplementedError):  # on Windows the loop does it by itself
        # Handling any signal through the loop lets all of them wake it; this one means nothing to us.
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, lambda: None)


def print_json(value: object) -> None:
    """Print JSON in ASCII, so that no terminal interprets any of it."""
    click.echo(json.dumps(value, indent=2))
