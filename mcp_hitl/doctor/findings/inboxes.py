"""The inbox: where it is, and who is signed in there."""

from mcp_hitl.desk.doctor_facts import Examination
from mcp_hitl.doctor.findings.finding import Finding, Mend, note
from mcp_hitl.domain.values.instants import rfc3339


def inbox_findings(examined: Examination, *, served: bool) -> list[Finding]:
    """Return one note about both; `served` is True if a process has the inbox's port."""
    where = "The inbox is not running."
    if served:
        where = f"The inbox is at {examined.inbox}." if examined.inbox else "The inbox is about to be served."
    if not examined.sessions:
        return [note("inbox", f"{where} No browser is signed in.", "Sign-in uses one-time links.")]
    count = len(examined.sessions)
    until = rfc3339(max(session.until for session in examined.sessions))
    return [
        note(
            "inbox",
            f"{where} {count:,} {'browser is' if count == 1 else 'browsers are'} signed in; the last session ends "
            f"{until}.",
            "Anyone who uses such a browser can see and decide what is pending, as somebody at this machine.",
            Mend("to sign all of them out", command=("inbox", "--sign-out")),
        )
    ]
