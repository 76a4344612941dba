"""Errors that go from a thread of the store to the caller who waits for it."""

from traceback import format_exception_only


def passed_on(error: BaseException) -> Exception:
    """Return the error itself, or one that says what it was.

    A future cannot carry a `StopIteration`, and an error that is no `Exception` (from `sys.exit`) would end the waiting
    caller.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    failure = RuntimeError(f"The work for the database raised {''.join(format_exception_only(error)).strip()}.")
    failure.__cause__ = error
    return failure
