"""Gathers the facts for `doctor`: the files, the database, the policy, and who can decide here."""

from mcp_hitl.cli.command_line import command_line
from mcp_hitl.cli.file_rights import storage
from mcp_hitl.cli.os_user import os_user
from mcp_hitl.cli.report import Report
from mcp_hitl.config import Settings
from mcp_hitl.desk.desk import system_clock
from mcp_hitl.desk.entering import INBOX
from mcp_hitl.desk.examining import examine
from mcp_hitl.domain.errors import Unavailable
from mcp_hitl.domain.policy import Assurance
from mcp_hitl.domain.principal import LOCAL
from mcp_hitl.domain.safety.connections import connection_findings
from mcp_hitl.domain.safety.files import file_findings
from mcp_hitl.domain.safety.finding import Finding
from mcp_hitl.domain.safety.inboxes import inbox_findings
from mcp_hitl.domain.safety.policies import policy_findings
from mcp_hitl.domain.safety.reach import Reach, reach_findings
from mcp_hitl.domain.safety.state import Found, state_findings
from mcp_hitl.domain.text import visible
from mcp_hitl.store.sqlite.glance import glance
from mcp_hitl.store.sqlite.holding import held_beside


def examined(settings: Settings, accepted: frozenset[str]) -> Report:
    """Return all findings. Changes nothing and creates no database."""
    user = os_user()
    # First the files, as they are: whatever opens a database takes others' rights to it away.
    files = storage(settings, user.id.removeprefix("os:"))
    found = _look(settings)
    rulebook = settings.rulebook
    # The account that the files belong to, and nobody else, can use this database; a link to the inbox
    # proves no more than that somebody is at this machine.
    reach = Reach(user.id, frozenset({LOCAL, user.id}), Assurance.LOCAL)
    clients = found.examination.clients if found.examination else ()
    findings = [
        *state_findings(found, rulebook),
        *_inbox(settings, found),
        *file_findings(files),
        *connection_findings(clients, rulebook, reach),
        *policy_findings(rulebook, reach, retention=settings.retention),
        *reach_findings(rulebook, reach),
    ]
    return Report(
        settings=settings,
        findings=tuple(findings),
        accepted=accepted,
        clients=clients,
        now=system_clock(),
        command=lambda *words: command_line(settings, *words, here=True),
    )


def _inbox(settings: Settings, found: Found) -> list[Finding]:
    if found.examination is None:
        return []
    return inbox_findings(found.examination, served=held_beside(settings.database, INBOX))


def _look(settings: Settings) -> Found:
    try:
        if not settings.database.exists():
            return Found()
        return Found(glance(settings.database, lambda view: examine(view, system_clock())))
    except Unavailable as error:
        return Found(unusable=str(error))
    except OSError as error:
        return Found(unusable=f"{visible(str(settings.database))} cannot be reached: {error.strerror}.")
