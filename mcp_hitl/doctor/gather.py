"""Gathers the facts for `doctor`: the files, the database, the policy, and who can decide here."""

from collections.abc import Callable
from functools import partial

from mcp_hitl.config import Settings
from mcp_hitl.desk.doctor_facts import examine
from mcp_hitl.desk.sign_in import inbox_lock
from mcp_hitl.desk.timekeeping import system_clock
from mcp_hitl.doctor.file_rights import storage
from mcp_hitl.doctor.findings.connections import connection_findings
from mcp_hitl.doctor.findings.files import file_findings
from mcp_hitl.doctor.findings.finding import Finding
from mcp_hitl.doctor.findings.inboxes import inbox_findings
from mcp_hitl.doctor.findings.policies import policy_findings
from mcp_hitl.doctor.findings.quorum_reach import Reach, reach_findings
from mcp_hitl.doctor.findings.servers import server_findings
from mcp_hitl.doctor.findings.state import Found, state_findings
from mcp_hitl.doctor.report import Report
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.opening import glance, is_held, machine, state_of_server


def examined(settings: Settings, accepted: frozenset[str], *, user: Principal, command: Callable[..., str]) -> Report:
    """Return all findings for the account of `user`. Changes nothing and creates no database.

    `command` returns the command line of this program with the words that it is given.
    """
    # First the files, as they are: whatever opens a database takes others' rights to it away.
    files = storage(settings, user.id.removeprefix("os:"))
    found = _look(settings)
    rulebook = settings.rulebook
    reach = Reach.of(user.id, settings.sign_in)
    clients = found.examination.clients if found.examination else ()
    findings = [
        *state_findings(found, rulebook),
        *_inbox(settings, found),
        *file_findings(files),
        *_server(settings),
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
        command=command,
    )


def _inbox(settings: Settings, found: Found) -> list[Finding]:
    if found.examination is None:
        return []
    return inbox_findings(found.examination, served=is_held(settings.database, inbox_lock(machine(settings.database))))


def _server(settings: Settings) -> list[Finding]:
    try:
        state = state_of_server(settings.database)
    except Unavailable:
        return []  # the findings about the database say so
    return [] if state is None else server_findings(state)


def _look(settings: Settings) -> Found:
    try:
        examination = glance(settings.database, partial(examine, machine=machine(settings.database)))
    except Unavailable as error:
        return Found(unusable=str(error))
    holders = {holder for _, holder in examination.silent} if examination else set[str]()
    return Found(examination, alive=frozenset(one for one in holders if is_held(settings.database, one)))
