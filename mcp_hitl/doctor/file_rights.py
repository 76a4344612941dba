"""Finds out who else can read or replace our files, from POSIX modes, owners and Linux's mounts."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from mcp_hitl.config import KEY, Settings, default_database
from mcp_hitl.doctor.findings.files import Access, Role, Storage
from mcp_hitl.store.sqlite.files import key_file
from mcp_hitl.store.sqlite.place import beside

_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs")


def storage(settings: Settings, account: str) -> Storage:
    """Examine the files of the database, the policy file and their folders, if they exist. `account` is ours."""
    file = settings.database.file
    named: list[tuple[Role, Path]] = []
    if file is not None:
        file = Path(os.path.realpath(file))
        named = [(Role.DATABASE, file), (Role.KEY, key_file(file)), (Role.HEAD, beside(file, ".head"))]
    named += [(Role.POLICY, settings.policy)] if settings.policy else []
    there = [(role, Path(os.path.realpath(path))) for role, path in named]
    folders = dict.fromkeys((Role.FOLDER, folder) for _, path in there for folder in path.parents)
    checked = sys.platform != "win32"
    return Storage(
        accesses=tuple(_accesses([*there, *folders])) if checked else (),
        checked=checked,
        usual=str(default_database()),
        account=account,
        network=None if file is None else _network(file),
        key_variable=None if settings.key is None else KEY,
    )


if sys.platform == "win32":

    def _accesses(named: list[tuple[Role, Path]]) -> Iterator[Access]:
        return iter(())

else:

    def _accesses(named: list[tuple[Role, Path]]) -> Iterator[Access]:
        for role, path in named:
            try:
                found = path.stat()
            except OSError:
                continue  # not there, or hidden from us; opening it tells
            if stat.S_ISDIR(found.st_mode) != (role is Role.FOLDER):
                continue  # named by mistake; opening it tells
            # With an access list, the group's bits are the most that anybody in the list has.
            own = _own_group(found.st_gid) and not _has_list(path)
            group = 0 if own else stat.S_IRGRP | stat.S_IWGRP
            # In a sticky folder others cannot replace our files, but they can still put new ones beside them.
            direct = role is not Role.FOLDER or not found.st_mode & stat.S_ISVTX or _holds(path, named)
            yield Access(
                role=role,
                path=str(path),
                owner=_account(found.st_uid),
                ours=found.st_uid == os.getuid(),
                trusted=found.st_uid in {0, os.getuid()},
                read=bool(found.st_mode & (stat.S_IROTH | group & stat.S_IRGRP)),
                write=direct and bool(found.st_mode & (stat.S_IWOTH | group & stat.S_IWGRP)),
            )

    def _has_list(path: Path) -> bool:
        """Return True if an access list names further accounts or groups (Linux)."""
        try:
            return sys.platform == "linux" and "system.posix_acl_access" in os.listxattr(path)
        except OSError:
            return False  # a file system without such lists

    def _holds(folder: Path, named: list[tuple[Role, Path]]) -> bool:
        """Return True if one of our files is directly in the folder."""
        return any(path.parent == folder for role, path in named if role is not Role.FOLDER)

    def _account(uid: int) -> str:
        import pwd

        try:
            return f"os:{pwd.getpwuid(uid).pw_name}"
        except KeyError:
            return f"uid {uid}"

    def _own_group(gid: int) -> bool:
        """Return True if our account is the only member of the group. Many systems give each account such a group."""
        import grp
        import pwd

        try:
            group, name = grp.getgrgid(gid), pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            return False
        return gid == 0 or (group.gr_name == name and set(group.gr_mem) <= {name})


def _network(database: Path) -> str | None:
    """Return the type of the file system that the database is on, if it is a network one. Works on Linux only."""
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace")
    except OSError:
        return None
    return shared_type(mounts, os.path.realpath(database))


def shared_type(mounts: str, path: str) -> str | None:
    """Return the type of the network file system that `path` is on, from Linux's table of mounts, else None."""
    found = ("", "")
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if len(point) >= len(found[0]) and (path == point or path.startswith(point.rstrip("/") + "/")):
            found = (point, kind)
    return found[1] if found[1] in _NETWORK else None
