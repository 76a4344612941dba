"""The sockets of an address of this machine: one for each number that its name means, all on one port.

A browser may go to either number of `localhost`. Whoever listens on the other one would get the cookie, and whatever is
kept for that address, so we listen on both or not at all (THREATS T32).

A port can be handed on without a moment in which another account could have it (THREATS T30): other processes of this
account `keep` it beside the one that listens. That works on Linux, which asks who shares a port; elsewhere nobody does.
"""

import errno
import os
import socket
import sys
from collections.abc import Container, Iterable

LOCALHOST = "localhost"
_NUMBERS = {LOCALHOST: ("127.0.0.1", "::1")}
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_ATTEMPTS = 20
_ATTEMPTS_BUT = 100
"""With a third of all ports refused, as many fail once in 10^47 times."""
_WAITING = 100


def listening(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on every number of `host`, on one port (0: one that is free for all of them).

    Raises:
        OSError: it is taken on one of them. Then none is left open.
    """
    for _ in range(0 if port else _ATTEMPTS):
        try:
            return _taken(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return _taken(host, port)


def shared(host: str, *, but: Container[int] = ()) -> list[socket.socket]:
    """Return sockets that listen on a free port of every number of `host`, which this account's processes can `keep`.

    It is none of the ports `but`.

    Raises:
        OSError: there is no other.
    """
    refused: list[socket.socket] = []
    try:
        for _ in range(_ATTEMPTS_BUT):
            found = listening(host, 0)
            if found[0].getsockname()[1] not in but:
                break
            refused += found  # and stay taken, so that another is found
        else:
            raise OSError(errno.EADDRINUSE, "every port that is free was used before")
    finally:
        close(refused)
    for one in found:
        _share(one)
    return found


def keep(host: str, port: int) -> list[socket.socket]:
    """Return sockets that have a `shared` port too, and do not listen: nobody else gets it as long as they are open.

    Raises:
        OSError: it is not shared with us, or nobody can share a port on this system.
    """
    if sys.platform != "linux":  # a socket that does not listen could get the requests of the one that does
        raise OSError(errno.EOPNOTSUPP, "ports cannot be shared safely on this system")
    found: list[socket.socket] = []
    try:
        for number in numbers(host, port):
            found.append(one := _socket(number))
            # With it, another account could have the port as long as nobody listens.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            _share(one)
            one.bind((number, port))
    except OSError:
        close(found)
        raise
    return found


def numbers(host: str, port: int) -> list[str]:
    """Return the numbers of `host` at which somebody on this machine could listen on the port, which is not 0."""
    return [number for number in _NUMBERS.get(host, (host,)) if _exists(number, port)]


def close(sockets: Iterable[socket.socket]) -> None:
    """Close them all."""
    for one in sockets:
        one.close()


def _taken(host: str, port: int) -> list[socket.socket]:
    found: list[socket.socket] = []
    try:
        for number in _NUMBERS.get(host, (host,)):
            # Only with a port: where every port is used up, some systems say that there is no such address.
            if port and not _exists(number, port):
                continue
            found.append(_take(number, port))
            port = found[-1].getsockname()[1]
    except OSError:
        close(found)
        raise
    if not found:
        raise OSError(errno.EADDRNOTAVAIL, f"this machine has no address {host}")
    return found


def _take(number: str, port: int) -> socket.socket:
    one = _socket(number)
    try:
        one.bind((number, port))
        one.listen(_WAITING)  # at once: another socket may be bound to the port until one of them listens
    except OSError as error:
        one.close()
        why = (error.strerror or "").lower()
        raise OSError(error.errno, f"error while attempting to bind on address {(number, port)!r}: {why}") from None
    return one


def _exists(number: str, port: int) -> bool:
    try:
        with _socket(number) as probe:
            probe.bind((number, port))
    except OSError as error:
        return error.errno not in _NO_SUCH_ADDRESS
    return True


def _socket(number: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in number else socket.AF_INET
    # asyncio turns Nagle's delay off only for sockets that say they are TCP; with it, each answer takes 40 ms longer.
    one = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere this would let two listen
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return one


def _share(one: socket.socket) -> None:
    if sys.platform == "linux":
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
