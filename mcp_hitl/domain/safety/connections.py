"""How an approval is delivered to each client that has connected, and what a client could do."""

from collections.abc import Iterable
from datetime import datetime

from mcp_hitl.domain.clients import Acquaintance, Client, Transport
from mcp_hitl.domain.instants import in_words
from mcp_hitl.domain.policy import Assurance
from mcp_hitl.domain.principal import LOCAL
from mcp_hitl.domain.rulebook import Rulebook
from mcp_hitl.domain.safety.finding import Finding, Mend, in_policy, of_kinds, unsafe
from mcp_hitl.domain.safety.policies import acting_kinds
from mcp_hitl.domain.safety.reach import Reach

POWERS = (
    "Any of them may ask, wait, take its own requests back and, once one is approved, carry it out once. No tool call "
    "decides: only what is filled in in a form or done on a page does. Both are `local`: a client can fill in a form "
    "that it has shown to nobody. Where that matters, the policy asks for `session`."
)


def connection_findings(clients: Iterable[Acquaintance], rulebook: Rulebook, reach: Reach) -> list[Finding]:
    """What the ways in which clients connect allow."""
    kinds = acting_kinds(rulebook, lambda kind: kind.policy.counts(Assurance.LOCAL) and LOCAL in kind.entries())
    if not kinds or not any(met.client.transport is Transport.HTTP for met in clients):
        return []
    return [
        unsafe(
            "http-for-everybody",
            f"Clients come over HTTP, where nobody signs in, and whoever is at this machine decides {of_kinds(kinds)}.",
            "A program in any account of this machine can connect, read what is pending, ask, and approve what it has "
            "asked for in a form that it fills in itself.",
            Mend(f"count only what is decided in your own account, {in_policy(kinds, '').where}", reach.stages),
            Mend("or let clients start the server themselves", command=("install", "claude-code")),
        )
    ]


def heading(met: Acquaintance, now: datetime) -> str:
    """`Claude Desktop 1.2 (stdio, 2025-11-25, seen 3 minutes ago)`."""
    client, ago = met.client, now - met.last_seen
    return f"{client.title} ({client.transport}, {client.protocol}, last seen {in_words(ago)} ago)"


def ways(client: Client) -> list[str]:
    """How it says that it can put a question to its person."""
    return [way for way, can in (("forms", client.forms), ("url", client.url)) if can]


def delivery(client: Client, rulebook: Rulebook) -> str:
    """What happens when an approval is asked for through it."""
    beyond = [name for name, kind in sorted(rulebook.kinds.items()) if not kind.policy.counts(Assurance.LOCAL)]
    but = f"; that is not enough for {of_kinds(beyond)}, decided elsewhere" if beyond else ""
    if client.url:
        without = "a form in the client" if client.forms else "`pending`"
        return (
            "opens pages: `approve`, `reject` and `ask-human` send the person to the approval's page in the inbox, as "
            f"`local`{but}; where no inbox is, {without}"
        )
    if client.forms:
        return f"shows forms: `approve`, `reject`, `edit-approval` and `ask-human` ask in the client, as `local`{but}"
    return "cannot show forms: an approval is answered `pending`, and a person decides in the inbox or the terminal"
