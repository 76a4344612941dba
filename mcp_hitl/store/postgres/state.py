"""Asks the server about itself."""

import psycopg

from mcp_hitl.store.postgres.connection import SCHEMA, cannot_connect, connect
from mcp_hitl.store.server_state import ServerState

_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes")
_ASK = f"""
SELECT current_setting('server_version'), current_setting('server_encoding'), pg_is_in_recovery(), current_user::text,
    coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false) OR EXISTS (
        SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = '{SCHEMA}' AND relname = 'audit' AND pg_has_role(relowner, 'USAGE')
    ),
    NOT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)
    AND inet_server_addr() IS NOT NULL AND NOT inet_server_addr() <<= ANY ('{{127.0.0.0/8,::1}}'::inet[]),
    {", ".join(f"current_setting('{name}')" for name in _SETTINGS)}
"""


def state_of(url: str) -> ServerState:
    """Return what the server says.

    Raises:
        Unavailable: it cannot be reached.
    """
    try:
        with connect(url) as db:
            row = db.execute(_ASK.encode()).fetchone()
    except psycopg.Error as error:
        raise cannot_connect(url, error) from error
    assert row is not None
    version, encoding, standby, role, owns_log, in_clear, *settings = row
    off = tuple(name for name, value in zip(_SETTINGS, settings, strict=True) if value == "off")
    return ServerState(
        version=version.split()[0],
        encoding=encoding,
        unsafe_settings=off,
        standby=standby,
        role=role,
        owns_log=owns_log,
        in_clear=in_clear,
    )
