"""The names of the events in the audit log. `events.py` has what each of them says."""

from enum import StrEnum


class Event(StrEnum):
    """The type of an audit entry."""

    OPENED = "opened"
    ASKED_AGAIN = "asked-again"
    DECIDED = "decided"
    EDITED = "edited"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    COOLDOWN_LIFTED = "cooldown-lifted"
    PROGRESS = "progress"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    PAUSED = "paused"
    RESUMED = "resumed"
    ERASED = "erased"
    CLOCK_RESET = "clock-reset"
    CLOCK_SET_BACK = "clock-set-back"
    POLICY_CHANGED = "policy-changed"
    RESTORED = "restored"
    RESTORE_CONFIRMED = "restore-confirmed"
    SIGNED_IN = "signed-in"
    SIGNED_OUT = "signed-out"
