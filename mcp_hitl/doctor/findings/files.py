"""Checks the files and folders that the desk depends on: can other accounts read or replace them?"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mcp_hitl.doctor.findings.finding import Finding, Mend, Severity
from mcp_hitl.domain.values.text import visible


class Role(StrEnum):
    """What a file is used for."""

    DATABASE = "database"
    KEY = "key"
    HEAD = "head"
    POLICY = "policy"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Access:
    """What other accounts can do with an existing file or folder, according to its access rights."""

    role: Role
    path: str
    owner: str
    ours: bool
    """True if it belongs to our account."""
    trusted: bool
    """True if it belongs to our account or to the administrator."""
    read: bool
    """True if others can read it."""
    write: bool
    """True if others can change it; for a folder, if they can put files into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where the database, the key and the policy file are stored."""

    accesses: tuple[Access, ...]
    checked: bool
    """True if this program can read this system's access rights."""
    usual: str
    """The path for a database in our own account's folder."""
    account: str
    network: str | None = None
    """The type of the file system under the database, if several machines share it."""
    key_variable: str | None = None
    """The environment variable that contains the key."""


_READ = {
    Role.DATABASE: "Any account on this machine can read the requests and decisions, secrets included.",
    Role.KEY: "Anyone who reads it can forge the sealed state of a form, such as what was shown and for how long.",
}
_WRITE = {
    Role.DATABASE: "Any account on this machine can write an approval into it, and the action is taken; only "
    "`audit verify` detects this, afterwards.",
    Role.KEY: "Anyone who can write it chooses the key, and can forge the sealed state of a form.",
    Role.HEAD: "Anyone who can write it can hide that an older copy of the database was put back.",
    Role.POLICY: "Anyone who can write it decides who approves: a rule that approves everything is four lines long.",
    Role.FOLDER: "Anyone who can put files there can replace one of ours, or add a journal next to the database "
    "that rewrites it.",
}
_OWNED = {
    Role.DATABASE: "Its owner can write an approval into it, and the action is taken.",
    Role.KEY: "Its owner can forge the sealed state of a form.",
    Role.HEAD: "Its owner can hide that an older copy of the database was put back.",
    Role.POLICY: "Its owner decides who approves.",
    Role.FOLDER: "Its owner can replace our file with another one.",
}


def file_findings(storage: Storage) -> list[Finding]:
    """Return what other accounts can do because of the files' rights or their location."""
    found = [finding for access in storage.accesses for finding in _of(access, storage)]
    if storage.network is not None:
        found.append(
            Finding(
                "network-file-system",
                Severity.UNSAFE,
                f"The database is on a file system that several machines share ({visible(storage.network)}).",
                "SQLite's locks do not work there: two machines can decide or redeem the same approval, and the file "
                "can be destroyed.",
                _moved(storage),
            )
        )
    if storage.key_variable is not None:
        found.append(
            Finding(
                "key-in-environment",
                Severity.NOTE,
                f"The key that seals the state of forms comes from {storage.key_variable}.",
                "Any program started from the same shell has it too, including an agent. Only servers on several "
                "machines need it; otherwise a key is made next to the database, readable by you alone.",
                (Mend("where it is set", f"unset {storage.key_variable}"),),
            )
        )
    if not storage.checked:
        found.append(
            Finding(
                "rights-not-checked",
                Severity.NOTE,
                "Who else can read the files was not checked: this program cannot read this system's access lists.",
                "Inside your own user profile other accounts have no access; elsewhere they may have.",
            )
        )
    return found


def _of(access: Access, storage: Storage) -> Iterable[Finding]:
    what = f"The {'policy file' if access.role is Role.POLICY else access.role} {visible(access.path)}"
    if not access.trusted:
        mend = _moved(storage)
        if access.role is not Role.FOLDER:
            mend = (Mend("as an administrator", shell=("chown", storage.account, access.path)),)
        yield _unsafe(
            f"{access.role}-of-another", f"{what} belongs to {visible(access.owner)}.", _OWNED[access.role], mend
        )
    if access.write:
        rights = "600" if access.role in _READ else "go-w"
        mend = (Mend("remove that right", shell=("chmod", rights, access.path)),)
        if not access.ours and access.role is Role.FOLDER:
            mend = _moved(storage)
        yield _unsafe(f"{access.role}-writable", f"{what} can be written by other accounts.", _WRITE[access.role], mend)
    elif access.read and access.role in _READ:
        mend = (Mend("remove that right", shell=("chmod", "600", access.path)),)
        yield _unsafe(f"{access.role}-readable", f"{what} can be read by other accounts.", _READ[access.role], mend)


def _moved(storage: Storage) -> tuple[Mend, ...]:
    return (Mend("move it to a folder of your own, and name it in the environment", f"MCP_HITL_DB={storage.usual}"),)


def _unsafe(code: str, what: str, allows: str, mend: tuple[Mend, ...]) -> Finding:
    return Finding(code, Severity.UNSAFE, what, allows, mend)
