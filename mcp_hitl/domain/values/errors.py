"""Errors that a caller can act on. Each has a stable `code` and a message that says what to do next."""


class HitlError(Exception):
    """Base of every refusal. `str(error)` is written for the caller and never repeats the caller's input."""

    code = "error"


class Invalid(HitlError):
    """An argument, payload, form or answer is not valid; nothing was stored."""

    code = "invalid"


class NotFound(HitlError):
    """No approval has this id, or the caller may not see it."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("There is no approval with this id here. Call list-pending to see what is open.")


class NotAllowed(HitlError):
    """We know the caller, and the caller may not do this."""

    code = "not_allowed"


class AlreadyResolved(HitlError):
    """The approval is no longer `pending`; the message says how, when and by whom it was resolved."""

    code = "already_resolved"


class Conflict(HitlError):
    """The request contradicts stored data: another payload under the same key, another revision, a second decision."""

    code = "conflict"


class NeedsPerson(HitlError):
    """Only a person can decide this, and no person can be asked this way."""

    code = "needs_person"


class TooMany(HitlError):
    """The requester has used up a quota."""

    code = "too_many"


class Paused(HitlError):
    """The emergency stop is on. Nothing is decided, redeemed or run, but new requests are still accepted."""

    code = "paused"


class Unreadable(HitlError):
    """A stored row cannot be read, because another program changed it or the disk damaged it."""

    code = "unreadable"

    def __init__(self, what: str, why: str = "", approval: str = "") -> None:
        """`what` is what cannot be read, `why` is for the log, `approval` the id of the approval that it belongs to."""
        super().__init__(
            f"{what} cannot be read: another program changed it, or the disk damaged it. Run `mcp-hitl audit verify` "
            "to see what is wrong, and restore a back-up."
        )
        self.why = why
        self.approval = approval


class Unavailable(HitlError):
    """The store or this program could not handle the request; nothing was changed, and the caller may try again."""

    code = "unavailable"


class Uncertain(Unavailable):
    """It is not known whether the change was made. The caller has to look before repeating the request."""

    code = "uncertain"
