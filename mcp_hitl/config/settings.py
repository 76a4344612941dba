"""The settings from the environment: database, key and policy file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mcp_hitl.config.location import SCHEMES, Location
from mcp_hitl.domain.policy.assurances import LINK, SignIn
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid

DATABASE, CONFIGURATION, KEY = "MCP_HITL_DB", "MCP_HITL_CONFIG", "MCP_HITL_KEY"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """The database, the key that seals the state of forms (None: the one that its processes share), and the policy.

    `retention` is how long contents are kept after an approval has ended; None keeps them forever.
    """

    database: Location
    key: bytes | None = None
    rulebook: Rulebook = field(default_factory=Rulebook)
    retention: timedelta | None = None
    policy: Path | None = None
    """The path of the policy file behind the rulebook."""
    sign_in: tuple[SignIn, ...] = (LINK,)
    """The ways in which people sign in at the inbox."""


def load(environment: Mapping[str, str], *, database: str | None = None, configuration: str | None = None) -> Settings:
    """Return the settings; values from the command line take precedence over the environment.

    Raises:
        Invalid: a setting is wrong, and the message says what is right; or the policy file has mistakes.
    """
    location = _location(database or environment.get(DATABASE) or "")
    key = _key(environment.get(KEY))
    named = configuration or environment.get(CONFIGURATION)
    if not named:
        return Settings(location, key)
    # Imported late: without a policy file nothing of what reads one is needed.
    from mcp_hitl.config.policy_file import read

    file = _expanded(named)
    policy = read(file)
    return Settings(location, key, policy.rulebook, policy.retention, Path(os.path.abspath(file)))


def default_database() -> Location:
    """Return the location of `hitl.db` in the platform's folder for user data."""
    # Imported late: needed only where nobody names a database.
    from platformdirs import user_data_path

    return Location(str(user_data_path("mcp-hitl", appauthor=False) / "hitl.db"))


def _location(named: str) -> Location:
    if not named:
        usual = default_database()
        if not os.path.isabs(str(usual)):
            raise Invalid(f"There is no home folder for this user. Name the database with --db or {DATABASE}.")
        return usual
    if named.startswith(SCHEMES):
        return Location(named)
    if "://" in named:
        raise Invalid("The database must be the path of a file, or a URL that begins with postgresql://.")
    try:
        return Location(os.path.abspath(_expanded(named)))
    except OSError:
        raise Invalid("The current folder no longer exists. Name the database by its absolute path.") from None


def _expanded(named: str) -> Path:
    try:
        return Path(named).expanduser()
    except RuntimeError:
        raise Invalid("A path begins with ~, but there is no such home folder. Write the whole path.") from None


def _key(text: str | None) -> bytes | None:
    if not text:
        return None
    key = text.encode()
    if len(key) < _KEY_BYTES:
        raise Invalid(f"{KEY} must have at least {_KEY_BYTES} bytes of randomness.")
    return key
