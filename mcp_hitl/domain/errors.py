"""What a caller can act on. Each error has a stable `code` and a sentence that says what to do next."""


class HitlError(Exception):
    """Base of every refusal; `str(error)` is meant for the caller and never echoes what was sent."""

    code = "error"


class Invalid(HitlError):
    """An argument, payload, form or answer that does not fit; nothing was stored."""

    code = "invalid"


class NotFound(HitlError):
    """No such approval here, or none that the caller may see."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("There is no approval with this id here. Call list-pending to see what is open.")


class NotAllowed(HitlError):
    """The caller is known and may not do this."""

    code = "not_allowed"


class AlreadyResolved(HitlError):
    """The approval has left `pending`; the message says how, when and by whom."""

    code = "already_resolved"


class Conflict(HitlError):
    """The request contradicts what is stored: another payload under the key, another revision, a second decision."""

    code = "conflict"


class NeedsPerson(HitlError):
    """A decision needs a person, and none can be asked this way."""

    code = "needs_person"


class TooMany(HitlError):
    """A quota of the requester is used up."""

    code = "too_many"


class Paused(HitlError):
    """The emergency stop is on: nothing is decided, redeemed or run; asking goes on."""

    code = "paused"


class Unavailable(HitlError):
    """The store could not take the request; nothing was changed and the same call may be made again."""

    code = "unavailable"
