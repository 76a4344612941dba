"""Somebody with another account of this machine who takes the inbox's port as soon as it can be had (Linux, as root).

The module is also the program that runs under that account.
"""

import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

ACCOUNT = 65534
"""The number of an account that is not ours."""
NUMBERS = ("127.0.0.1", "::1")
OPTIONS = [(reuse, share) for reuse in (0, 1) for share in (0, 1)]
"""Every way to ask for a port: with and without SO_REUSEADDR and SO_REUSEPORT."""

_PAGE = """<!doctype html><title>Borrowed</title><script type="module">
const left = await caches.open("left");
await left.put("/", new Response("left"));
await navigator.serviceWorker.register("/worker.js");
await navigator.serviceWorker.ready;
await fetch("/taken", {method: "POST", body: localStorage.getItem("inbox-token") ?? ""});
document.title = "Taken";
</script>"""
_WORKER = """addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => event.request.mode === "navigate" && event.respondWith(
    new Response("<!doctype html><title>Borrowed for ever</title>", {headers: {"content-type": "text/html"}})));
"""
_ANSWERS = {
    "/live": (200, "text/event-stream", "event: open\ndata:\n\n"),
    "/changes": (401, "application/json", "{}"),
    "/inbox/identity": (200, "application/json", json.dumps({"proof": "0" * 64, "page": "0" * 64})),
    "/worker.js": (200, "text/javascript", _WORKER),
}


class Borrower:
    """The program of the other account, as the test sees it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """`process` is what runs it."""
        self._process = process

    def until_it_listens(self) -> None:
        """Return when it has the port."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n"

    def stop(self) -> list[dict[str, str]]:
        """Have it give the port back. Returns what it was sent; nothing where it never had the port."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        told = self._process.stdout.read()  # and not `communicate`, which leaves out what was read ahead
        return [json.loads(line) for line in told.splitlines() if line.startswith("{")]


def need_another_account() -> None:
    """Leave the test out where nobody can act under another account."""
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("only root on Linux can act under another account")


def attempts(port: int) -> list[bool]:
    """Whether each way to get the port succeeds, on each number."""
    return [_works(port, number, *options) for number in (*NUMBERS, "0.0.0.0", "::") for options in OPTIONS]


@contextmanager
def borrower(port: int) -> Generator[Borrower]:
    """Have another account try to get the port, without a pause."""
    need_another_account()
    # Not started under the account at once: our interpreter may stand where the account cannot go.
    command = [sys.executable, __file__, str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "trying\n"
    try:
        yield Borrower(process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._tell("")
        path = self.path.partition("?")[0]
        status, kind, body = _ANSWERS.get(path, (200, "text/html", _PAGE))
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("cache-control", "public, max-age=31536000, immutable")
        if path != "/live":
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
        if path == "/live":
            self.wfile.flush()
            self.rfile.read()

    def do_POST(self) -> None:
        self._tell(self.rfile.read(int(self.headers["content-length"])).decode())
        self.send_response(204)
        self.end_headers()

    def _tell(self, body: str) -> None:
        told = {"path": self.path, "cookie": self.headers.get("cookie", ""), "body": body}
        sys.stdout.write(json.dumps(told) + "\n")  # at once, since several threads tell
        sys.stdout.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, taken: socket.socket) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = taken


def take(port: int, number: str, reuse: int, share: int) -> socket.socket:
    """Listen on a port with these options.

    Raises:
        OSError: it is taken.
    """
    one = socket.socket(socket.AF_INET6 if ":" in number else socket.AF_INET)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
        if one.family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((number, port))
        one.listen(100)
    except OSError:
        one.close()
        raise
    return one


def _works(port: int, number: str, reuse: int, share: int) -> bool:
    try:
        take(port, number, reuse, share).close()
    except OSError:
        return False
    return True


def _attempt(port: int) -> list[socket.socket]:
    found: list[socket.socket] = []
    for number in NUMBERS:
        for reuse, share in OPTIONS:
            try:
                found.append(take(port, number, reuse, share))
                break
            except OSError:
                continue
    return found


def _main(port: int) -> None:
    os.setgroups([])
    os.setgid(ACCOUNT)
    os.setuid(ACCOUNT)
    print("trying", flush=True)
    taken: list[socket.socket] = []
    while not taken:
        if select.select([sys.stdin], [], [], 0)[0]:
            return
        taken = _attempt(port)
    print("listening", flush=True)
    for one in taken:
        threading.Thread(target=_Server(one).serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
