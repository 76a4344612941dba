"""Checks the database server: does it keep what it commits, who reads along, and what may our role do there?"""

from mcp_hitl.doctor.findings.finding import Finding, Mend, listed, note, unsafe
from mcp_hitl.domain.values.text import visible
from mcp_hitl.store.server_state import ServerState


def server_findings(state: ServerState) -> list[Finding]:
    """Return what is notable about the server of the database."""
    found = [
        note(
            "server",
            f"The database is on PostgreSQL {visible(state.version)}; we use it as the role {visible(state.role)}.",
            "Whoever administers that server can read and change everything in it.",
        )
    ]
    if state.unsafe_settings:
        found.append(
            unsafe(
                "server-not-durable",
                f"The server runs with {listed(f'{name} = off' for name in state.unsafe_settings)}.",
                "If it crashes, it can forget what it has committed: an approval that was used could be used again.",
                *(
                    Mend(
                        "on the server, as its administrator", f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();"
                    )
                    for name in state.unsafe_settings
                ),
            )
        )
    if state.in_clear:
        found.append(
            unsafe(
                "server-in-clear",
                "The connection to the server crosses a network without TLS.",
                "Anyone on the way can read requests and decisions, and change them.",
                Mend("in the database's address, after a ? or &", "sslmode=verify-full"),
            )
        )
    if state.standby:
        found.append(
            unsafe(
                "server-standby",
                "The server is a standby: it only follows another server.",
                "Nothing can be requested or decided there.",
                Mend("name the server that takes writes", "MCP_HITL_DB=postgresql://…"),
            )
        )
    if state.encoding != "UTF8":
        found.append(
            unsafe(
                "server-encoding",
                f"The database stores texts as {visible(state.encoding)}, not as UTF8.",
                "Requests with other characters are refused, and texts may not be stored as they were shown.",
                Mend("move to a database that was made with", "ENCODING 'UTF8'"),
            )
        )
    if state.owns_log:
        found.append(
            note(
                "role-owns-log",
                f"The role {visible(state.role)} owns the tables of the log, or is a superuser.",
                "This program could take away the triggers that keep the log from being changed. docs/deploy.md says "
                "how to run it as a role that can't.",
            )
        )
    return found
