"""The files and folders that everything rests on: who else could read or replace them."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mcp_hitl.domain.safety.finding import Finding, Mend, Severity
from mcp_hitl.domain.text import visible


class Role(StrEnum):
    """What a file is to us."""

    DATABASE = "database"
    KEY = "key"
    POLICY = "policy"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Access:
    """What other accounts can do with a file or folder that is there, by the rights that the system keeps for it."""

    role: Role
    path: str
    owner: str
    ours: bool
    """Whether it is our account's."""
    trusted: bool
    """Whether it is our account's or the administrator's."""
    read: bool
    """Whether others can read it."""
    write: bool
    """Whether others can change it; of a folder, whether they can put something into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where everything is kept."""

    accesses: tuple[Access, ...]
    checked: bool
    """Whether this system's rights are ones that this program can read."""
    usual: str
    """The path of a database in our own account's folder."""
    account: str
    network: str | None = None
    """The type of the file system under the database, where machines share it."""
    key_variable: str | None = None
    """The environment variable that the key comes from."""


_READ = {
    Role.DATABASE: "Any account on this machine can read what was asked and decided, secrets included.",
    Role.KEY: "Whoever reads it can forge the sealed state of a form: what it says was shown, and for how long.",
}
_WRITE = {
    Role.DATABASE: "Any account on this machine can write an approval into it, and the action is taken; only "
    "`audit verify` finds out, afterwards.",
    Role.KEY: "Whoever writes it chooses the key, and can forge the sealed state of a form.",
    Role.POLICY: "Whoever writes it decides who approves: a rule that approves everything is four lines long.",
    Role.FOLDER: "Whoever can put files there can put one in the place of ours, or a journal beside the database "
    "that rewrites it.",
}
_OWNED = {
    Role.DATABASE: "Its owner can write an approval into it, and the action is taken.",
    Role.KEY: "Its owner can forge the sealed state of a form.",
    Role.POLICY: "Its owner decides who approves.",
    Role.FOLDER: "Its owner can put another file in the place of ours.",
}


def file_findings(storage: Storage) -> list[Finding]:
    """What the rights of the files, and the place where they lie, allow."""
    found = [finding for access in storage.accesses for finding in _of(access, storage)]
    if storage.network is not None:
        found.append(
            Finding(
                "network-file-system",
                Severity.UNSAFE,
                f"The database lies on a file system that machines share ({visible(storage.network)}).",
                "SQLite's locks do not hold there: two machines can decide or redeem one approval, and the file can "
                "be destroyed.",
                _moved(storage),
            )
        )
    if storage.key_variable is not None:
        found.append(
            Finding(
                "key-in-environment",
                Severity.NOTE,
                f"The key that seals the state of forms comes from {storage.key_variable}.",
                "Whatever is started from the same shell has it too, an agent included. Only servers on several "
                "machines need it; otherwise a key is made beside the database, readable by you alone.",
                (Mend("where it is set", f"unset {storage.key_variable}"),),
            )
        )
    if not storage.checked:
        found.append(
            Finding(
                "rights-not-checked",
                Severity.NOTE,
                "Who else can read the files was not checked: this program cannot read this system's access lists.",
                "Inside your own user profile other accounts are kept out; elsewhere they may not be.",
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
        mend = (Mend("take that right away", shell=("chmod", rights, access.path)),)
        if not access.ours and access.role is Role.FOLDER:
            mend = _moved(storage)
        yield _unsafe(f"{access.role}-writable", f"{what} can be written by other accounts.", _WRITE[access.role], mend)
    elif access.read and access.role in _READ:
        mend = (Mend("take that right away", shell=("chmod", "600", access.path)),)
        yield _unsafe(f"{access.role}-readable", f"{what} can be read by other accounts.", _READ[access.role], mend)


def _moved(storage: Storage) -> tuple[Mend, ...]:
    return (Mend("move it to a folder of your own, and name it in the environment", f"MCP_HITL_DB={storage.usual}"),)


def _unsafe(code: str, what: str, allows: str, mend: tuple[Mend, ...]) -> Finding:
    return Finding(code, Severity.UNSAFE, what, allows, mend)
