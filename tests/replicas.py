"""Replicas: servers on one PostgreSQL database, with the key that they share."""

import re
import secrets
from collections.abc import Callable
from typing import Any

import postgres
from docs.pages import blocks
from warm import warm
from wires import http_server, unmeasured


def served(database: str, start: Callable[..., list[str]] = warm) -> Any:
    """A replica."""
    variables = unmeasured(MCP_HITL_KEY="a key that both replicas have, for tests")
    return http_server(database, variables=variables, start=start)


def with_few_rights(database: str) -> str:
    """The address for a role that may not change the log, as the page has it."""
    [rights] = blocks("docs/deploy.md", "sql")
    role = f"desk_{secrets.token_hex(4)}"
    postgres.run(database, *re.sub(r"\bdesk\b", role, rights).rstrip(" ;\n").split(";\n"))
    return database.replace("hitl@", f"{role}@")


def port(url: str) -> str:
    """The port of an address."""
    return url.rpartition(":")[2].removesuffix("/mcp")
