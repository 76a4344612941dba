"""Processes of the program without the second that its imports take.

`warm` gives a command that has its process forked from one that has imported everything. It is a process like any
other, with descriptors, environment, folder, signals and an end of its own: only the importing is shared. Where
coverage is measured, in `make cover`, the same command starts from nothing, as users do. POSIX.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
from typing import Any

PREFIX = "mcp-hitl-warm-"
_MAIN = "mcp_hitl.__main__"


def warm(*arguments: str) -> list[str]:
    """The command that runs `mcp-hitl` with `arguments` in a process that has its imports behind it."""
    if sys.platform == "win32" or any(name.startswith("COVERAGE_") for name in os.environ):
        return [sys.executable, "-m", "mcp_hitl", *arguments]
    # Neither site nor the environment's paths: what only hands over is there at once.
    return [sys.executable, "-I", "-S", __file__, _nursery(), *arguments]


def _nursery() -> str:
    """Where the process listens that the others are forked from; it ends with this one."""
    import subprocess
    import tempfile
    from pathlib import Path

    if not _running:
        path = str(Path(tempfile.mkdtemp(prefix=PREFIX)) / "socket")
        # It sees the end of its input when this process ends, however it does.
        process = subprocess.Popen(
            [sys.executable, __file__, "--fork", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stdout.read(1)
        _running.append((process, path))
    return _running[0][1]


_running: list[tuple[Any, str]] = []


def _hand_over(path: str, arguments: list[str]) -> int:
    """Have a process forked that has our descriptors; pass signals on to it, and end as it does."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        request = json.dumps({"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}).encode()
        descriptors = [number for number in range(3) if _is_open(number)]
        head = len(request).to_bytes(4, "big") + bytes(descriptors).ljust(3, b"\xff")
        socket.send_fds(line, [head], descriptors)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda caught, _: line.sendall(bytes([caught])))
        line.sendall(request)
        for number in descriptors:
            os.close(number)  # whoever reads from us waits for the last holder to go
        ended = b""
        while len(ended) < 4 and (piece := line.recv(4 - len(ended))):
            ended += piece
    code = int.from_bytes(ended, "big", signed=True) if len(ended) == 4 else 1
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _is_open(number: int) -> bool:
    with contextlib.suppress(OSError):
        os.fstat(number)
        return True
    return False


def _wake(number: int, frame: object) -> None:
    """A signal that nothing handles would not wake us."""


class _Children:
    """Forks a process for each that asks, tells it the exit code, and kills it when the one who asked is gone."""

    def __init__(self, listener: socket.socket) -> None:
        self._lines: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._told, wakeup = socket.socketpair()
        self._told.setblocking(False)
        wakeup.setblocking(False)
        self._wakeup = wakeup

    def serve(self) -> list[str] | None:
        """Fork until our input ends. Returns in each child too, with its arguments."""
        signal.set_wakeup_fd(self._wakeup.fileno())
        signal.signal(signal.SIGCHLD, _wake)
        for source in (self._listener, self._told, 0):
            self._selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    if (arguments := self._fork(self._listener.accept()[0])) is not None:
                        return arguments
                elif key.fileobj is self._told:
                    with contextlib.suppress(BlockingIOError):
                        self._told.recv(4096)
                    self._reap()
                elif key.fileobj == 0:
                    for child in self._lines:
                        os.kill(child, signal.SIGKILL)
                    return None
                else:
                    self._pass_on(key.data)

    def _fork(self, line: socket.socket) -> list[str] | None:
        head, descriptors, _, _ = socket.recv_fds(line, 7, 3)
        length = int.from_bytes(head[:4], "big")
        request = b""
        while len(request) < length and (piece := line.recv(length - len(request))):
            request += piece
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            for held in (self._listener, self._told, self._wakeup, line, *self._lines.values()):
                held.close()
            return _become(json.loads(request), dict(zip(head[4:], descriptors, strict=False)))
        for number in descriptors:
            os.close(number)
        self._lines[child] = line
        self._selector.register(line, selectors.EVENT_READ, child)
        return None

    def _pass_on(self, child: int) -> None:
        if (line := self._lines.get(child)) is None:
            return
        caught = b""
        with contextlib.suppress(ConnectionError):
            caught = line.recv(1)
        if caught:
            os.kill(child, caught[0])
        else:
            self._selector.unregister(line)
            os.kill(child, signal.SIGKILL)

    def _reap(self) -> None:
        while self._lines:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            with self._lines.pop(child) as line:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(line)
                with contextlib.suppress(OSError):
                    line.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))


def _become(request: dict[str, Any], descriptors: dict[int, int]) -> list[str]:
    """Take on what the one who asked has: descriptors, environment and folder."""
    for number in range(3):
        os.close(number)
    for number, held in descriptors.items():
        os.dup2(held, number)
    for held in set(descriptors.values()):
        os.close(held)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    standard: Any = sys
    standard.stdin = open(0, closefd=False) if 0 in descriptors else None
    standard.stdout = open(1, "w", closefd=False, buffering=1 if os.isatty(1) else -1) if 1 in descriptors else None
    standard.stderr = open(2, "w", closefd=False, buffering=1, errors="backslashreplace") if 2 in descriptors else None
    return request["arguments"]


def _fork_from_here(path: str) -> None:
    """Import what every command and server needs, and fork from here; in a child, run it."""
    import gc
    import importlib

    for name in (_MAIN, "mcp_hitl.cli.serve", "mcp_hitl.web.app", "mcp_hitl.web.host"):
        importlib.import_module(name)
    main = sys.modules[_MAIN]
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        sys.stdout.write("1")
        sys.stdout.flush()
        arguments = _Children(listener).serve()
    if arguments is None:
        os.unlink(path)
        os.rmdir(os.path.dirname(path))
        return
    sys.argv = [str(main.__file__), *arguments]
    main.main()


if __name__ == "__main__":
    if sys.argv[1] == "--fork":
        _fork_from_here(sys.argv[2])
    else:
        sys.exit(_hand_over(sys.argv[1], sys.argv[2:]))
