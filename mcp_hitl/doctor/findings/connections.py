"""How each connected client delivers an approval, and what a client could do."""

from collections.abc import Iterable
from datetime import datetime

from mcp_hitl.doctor.findings.finding import Finding, Mend, in_policy, of_kinds, unsafe
from mcp_hitl.doctor.findings.policies import acting_kinds
from mcp_hitl.doctor.findings.quorum_reach import Reach
from mcp_hitl.domain.approvals.clients import Acquaintance, Client, Transport
from mcp_hitl.domain.policy.assurances import IN_FORM
from mcp_hitl.domain.policy.principal import LOCAL
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.instants import in_words

POWERS = (
    "Any of them may ask, wait, cancel its own requests and, once one is approved, carry it out once. No tool call "
    "decides: only a person's answer in a form or on a page does. Both are `local`: a client can fill in a form "
    "that it has shown to nobody. If that matters to you, run it under another account."
)


def connection_findings(clients: Iterable[Acquaintance], rulebook: Rulebook, reach: Reach) -> list[Finding]:
    """Return what is unsafe about how the clients connect."""
    kinds = acting_kinds(rulebook, lambda kind: kind.policy.counts(IN_FORM) and LOCAL in kind.entries())
    if not kinds or not any(met.client.transport is Transport.HTTP for met in clients):
        return []
    return [
        unsafe(
            "http-for-everybody",
            f"Clients connect over HTTP without signing in, and anyone at this machine can decide {of_kinds(kinds)}.",
            "A program in any account of this machine can connect, read what is pending, make a request, and approve "
            "its own request in a form that it fills in itself.",
            Mend(f"count only decisions made in your own account, {in_policy(kinds, '').where}", reach.stages),
            Mend("or let clients start the server themselves", command=("install", "claude-code")),
        )
    ]


def heading(met: Acquaintance, now: datetime) -> str:
    """Return a client's heading, such as `Claude Desktop 1.2 (stdio, 2025-11-25, last seen 3 minutes ago)`."""
    client, ago = met.client, now - met.last_seen
    return f"{client.title} ({client.transport}, {client.protocol}, last seen {in_words(ago)} ago)"


def ways(client: Client) -> list[str]:
    """Return the ways in which the client says it can ask its person."""
    return [way for way, can in (("forms", client.forms), ("url", client.url)) if can]


def delivery(client: Client, rulebook: Rulebook) -> str:
    """Return what happens when an approval is requested through this client."""
    beyond = [name for name, kind in sorted(rulebook.kinds.items()) if not kind.policy.counts(IN_FORM)]
    but = f"; that is not enough for {of_kinds(beyond)}, which must be decided elsewhere" if beyond else ""
    if client.url:
        without = "a form in the client" if client.forms else "`pending`"
        return (
            "opens pages: `approve`, `reject` and `ask-human` send the person to the approval's page in the inbox, as "
            f"`local`{but}; if no inbox is running, {without}"
        )
    if client.forms:
        return f"shows forms: `approve`, `reject`, `edit-approval` and `ask-human` ask in the client, as `local`{but}"
    return "cannot show forms: the tools return `pending`, and a person decides in the inbox or the terminal"
