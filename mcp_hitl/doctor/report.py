"""Prints the findings of `doctor`, as text at the terminal's width or as JSON."""

import shutil
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import click

from mcp_hitl import __version__
from mcp_hitl.config import Settings
from mcp_hitl.doctor.findings.connections import POWERS, delivery, heading, ways
from mcp_hitl.doctor.findings.finding import Finding, Mend, Severity
from mcp_hitl.domain.approvals.clients import Acquaintance
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.domain.values.text import visible

BEYOND = (
    "What no setting changes: a program of an account that can write the database can record any decision, by anybody "
    "and as `step-up`, and can open the database with another policy file. The log says which file was used, and what "
    "only a program vouches for. To be sure of more, run agents and their programs under another account."
)
"""What is true of every set-up as long as decisions are not signed by the person who makes them."""
_WIDEST = 100
_LABEL = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that `doctor` reports. `command` returns a command that runs as printed."""

    settings: Settings
    findings: tuple[Finding, ...]
    accepted: frozenset[str]
    clients: tuple[Acquaintance, ...]
    now: datetime
    command: Callable[..., str]

    @property
    def unsafe(self) -> list[Finding]:
        """The unsafe findings that nobody has accepted."""
        return self.of(Severity.UNSAFE)

    def of(self, severity: Severity) -> list[Finding]:
        """Return the findings of a severity that nobody has accepted."""
        return [one for one in self.findings if one.severity is severity and one.code not in self.accepted]


def shape(report: Report) -> JsonObject:
    """Return the report as JSON."""
    settings, rulebook = report.settings, report.settings.rulebook
    return {
        "database": str(settings.database),
        "policy": None if settings.policy is None else str(settings.policy),
        "profile": rulebook.profile.value,
        "unsafe": len(report.unsafe),
        "beyond": BEYOND,
        "findings": [
            {
                "code": one.code,
                "severity": one.severity.value,
                "accepted": one.code in report.accepted,
                "what": one.what,
                "allows": one.allows,
                "mend": [{"where": mend.where, "line": _line(report, mend)} for mend in one.mend],
            }
            for one in report.findings
        ],
        "clients": [
            {
                "name": met.client.name,
                "version": met.client.version,
                "protocol": met.client.protocol,
                "transport": met.client.transport.value,
                "asks": ways(met.client),
                "first_seen": rfc3339(met.first_seen),
                "last_seen": rfc3339(met.last_seen),
                "delivery": delivery(met.client, rulebook),
            }
            for met in report.clients
        ],
    }


def show(report: Report) -> None:
    """Print the report, unsafe findings first."""
    settings = report.settings
    profile = settings.rulebook.profile.value
    policy = "none: the built-in kinds" if settings.policy is None else visible(str(settings.policy))
    click.echo(f"mcp-hitl {__version__}\n")
    click.echo(f"  Database {visible(str(settings.database))}\n  Policy   {policy}\n  Profile  {profile}")
    unsafe, notes = report.unsafe, report.of(Severity.NOTE)
    _section(report, "Unsafe", unsafe, "red")
    _section(report, "Notes", notes, "yellow")
    accepted = [one for one in report.findings if one.code in report.accepted]
    if accepted:
        click.echo("\n" + click.style("Accepted", fg="cyan", bold=True) + "\n")
        for finding in accepted:
            click.echo(_wrapped(f"{finding.what} [{finding.code}]", first="  -  ", rest="     "))
    _clients(report)
    click.echo()
    if unsafe:
        count = "1 setting is" if len(unsafe) == 1 else f"{len(unsafe)} settings are"
        click.echo(click.style(f"{count} unsafe.", fg="red", bold=True))
    else:
        click.echo(click.style("Nothing unsafe was found in the settings.", fg="green", bold=True))
    click.echo("\n" + _wrapped(BEYOND, first="", rest=""))


def _section(report: Report, title: str, findings: list[Finding], colour: str) -> None:
    if not findings:
        return
    click.echo("\n" + click.style(title, fg=colour, bold=True))
    for number, finding in enumerate(findings, start=1):
        lead = f"{number:>3}. "
        click.echo()
        click.echo(_wrapped(f"{finding.what} [{finding.code}]", first=lead, rest=" " * len(lead)))
        for line in _labelled("Risk" if finding.severity is Severity.UNSAFE else "Means", finding.allows, indent=5):
            click.echo(line)
        for mend in finding.mend:
            label = "Fix" if mend is finding.mend[0] else ""
            for line in (*_labelled(label, f"{mend.where}:", indent=5), *_lines(report, mend)):
                click.echo(line)


def _clients(report: Report) -> None:
    click.echo("\n" + click.style("Clients", bold=True) + "\n")
    if not report.clients:
        click.echo(_wrapped("No client has connected to this database yet.", first="  ", rest="  "))
        return
    alike: dict[str, list[Acquaintance]] = {}
    for met in report.clients:
        alike.setdefault(delivery(met.client, report.settings.rulebook), []).append(met)
    for told, clients in alike.items():
        for met in clients:
            click.echo(_wrapped(heading(met, report.now), first="  ", rest="      "))
        click.echo(_wrapped(told, first="    ", rest="    "))
    click.echo("\n" + _wrapped(POWERS, first="  ", rest="  "))


def _lines(report: Report, mend: Mend) -> Iterator[str]:
    """Yield the line to write or run, unwrapped so that it can be copied."""
    for line in _line(report, mend).splitlines():
        yield " " * (5 + _LABEL + 2) + line


def _line(report: Report, mend: Mend) -> str:
    if mend.command:
        return report.command(*mend.command)
    if mend.shell:
        # Imported late, like all that only a person's output needs.
        import shlex

        return shlex.join(mend.shell)
    return mend.line


def _labelled(label: str, text: str, *, indent: int = 2) -> Iterator[str]:
    lead = " " * indent + label.ljust(_LABEL)
    yield _wrapped(text, first=lead, rest=" " * len(lead))


def _wrapped(text: str, *, first: str, rest: str) -> str:
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
