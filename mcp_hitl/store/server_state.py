"""What a database server says about itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """What the promises of a database on a server rest on."""

    version: str
    encoding: str
    unsafe_settings: tuple[str, ...]
    """The settings that are off though a commit is durable only if they are on."""
    standby: bool
    """True if it is a copy that follows another server, and takes no writes."""
    role: str
    owns_log: bool
    """True if the role may take the triggers of the log away."""
    in_clear: bool
    """True if the connection crosses a network without TLS."""
