"""T32: a sign-in link is told to a person at a terminal and to nobody else, and no log or command line has it."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from asked import ask, on_desk
from inboxes import inbox_at
from terminal import PATIENCE, at_terminal, run, terminal
from wires import connect, content, environment, http_server, launcher

from mcp_hitl.cli.os_user import os_user
from mcp_hitl.desk import Desk
from mcp_hitl.desk.sign_in import SignedIn

LINK = re.compile(r"http://localhost:\d+/sign-in(?:\?next=\S*)?#([\w-]{43})")
SECRET = re.compile(r"[\w-]{43}")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


def offer(database: Path) -> str:
    """The code of a link."""

    async def work(desk: Desk) -> str:
        return await desk.inbox.offer_link(os_user())

    return on_desk(database, work)


def enter(address: str, code: str) -> "httpx2.Response":
    """What the page does with a link's code."""
    return httpx2.post(f"{address}/sign-in", data={"code": code}, headers={"origin": address}, timeout=PATIENCE)


def test_t32_serve_prints_a_link_on_its_own_terminal_and_it_works_once(database: Path) -> None:
    with at_terminal(database, "serve", "--port", "0") as person:
        shown = person.until("Stop with Ctrl-C.")
        found = LINK.search(shown)
        assert found is not None and len(LINK.findall(shown)) == 1
        address = found[0].partition("/sign-in")[0]
        assert [enter(address, found[1]).status_code for _ in range(2)] == [200, 403]


def test_t32_where_serves_words_go_to_a_file_they_have_no_secret_whatever_happens(
    database: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            launcher("--db", str(database), "serve", "--port", "0"), stdout=file, stderr=file, env=environment()
        )
    try:
        address = next(line for line in _lines(log) if "Inbox  " in line).split()[-1]
        code = offer(database)
        with http_server(database) as (url, _):  # whoever comes second knows where the first one is
            assert httpx2.get(url.removesuffix("mcp")).headers["location"] == address
            signed_in = enter(address, code)
        assert signed_in.status_code == 200
        other = offer(database)
        answer = enter(address, other)
        secrets = [code, other, answer.json()["token"], signed_in.json()["token"]]
        secrets += [one.headers["set-cookie"].partition(".")[2].partition(";")[0] for one in (answer, signed_in)]
        cookie = answer.headers["set-cookie"].partition(";")[0]
        with httpx2.Client(base_url=address, timeout=PATIENCE) as http:
            for path in (f"/?code={other}", f"/approvals/{other}", f"/sign-in?next=/{other}", f"/mcp?token={other}"):
                http.get(path, headers={"cookie": cookie})
            for sent in ({"code": other}, {"code": other + "x"}, {other: other}):
                http.post("/sign-in", data=sent, headers={"origin": address})
            http.post("/batch", content=b"\xff" + other.encode(), headers={"cookie": cookie, "origin": address})
            http.request("BREW", f"/{other}", headers={"cookie": cookie, "x-inbox-token": other})
    finally:
        process.terminate()
        process.wait(PATIENCE)
    words = log.read_text()
    assert "to sign in: " in words and " inbox" in words and "Traceback" not in words
    assert [secret for secret in secrets if secret in words] == [] and LINK.search(words) is None


def _lines(log: Path) -> list[str]:
    """What a log says once it says where the server is."""
    while "Stop with Ctrl-C" not in (words := log.read_text()):
        pass
    return words.splitlines()


@pytest.mark.parametrize("at_a_terminal", [False, True])
def test_t32_beside_stdio_no_link_is_ever_printed(database: Path, tmp_path: Path, at_a_terminal: bool) -> None:
    """Not even where the client itself runs at a terminal, which a model may read."""
    asked = ask(database, "action", {"n": 1})
    script = tmp_path / "client.py"
    script.write_text(
        f"""
import anyio
from pathlib import Path
from wires import connect, content

async def main():
    async with connect(Path({str(database)!r}), "2026-07-28") as client:
        while content(await client.call_tool("get-approval", {{"id": {asked!r}}}))["url"] is None:
            pass
        for tool in ("list-pending", "get-approval", "audit-trail"):
            print(await client.call_tool(tool, {{}} if tool == "list-pending" else {{"id": {asked!r}}}))
    print("DONE")

anyio.run(main)
"""
    )
    where = {"PYTHONPATH": str(Path(__file__).parents[1])}
    if at_a_terminal:
        with terminal([sys.executable, str(script)], variables=where) as person:
            person.until("DONE")
            person.finish()
        words = person.shown
    else:
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, env=environment(**where), timeout=PATIENCE
        )
        words = done.stdout + done.stderr
    assert "DONE" in words and "/approvals/apr_" in words
    assert LINK.search(words) is None and "#" not in words and "sign-in" not in words


@pytest.mark.parametrize("options", [(), ("--print",)])
def test_t32_without_a_terminal_inbox_makes_no_link_and_opens_nothing(
    database: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    opened = tmp_path / "opened"
    done = run(database, "inbox", *options, variables={"BROWSER": f"touch {opened}"})
    assert (done.returncode, done.stdout) == (2, "") and "terminal" in done.stderr
    assert SECRET.search(done.stderr.replace(str(database), "")) is None and not opened.exists()
    assert [*database.parent.glob("*.html")] == []


@pytest.mark.parametrize("into", ["2>{log}", "<&-", "</dev/null", "2>&1 | cat >{log}"])
def test_t32_a_link_is_not_printed_into_a_file_or_a_pipe(database: Path, tmp_path: Path, into: str) -> None:
    log = tmp_path / "log"
    command = f'"$0" "$@" {into.format(log=log)}'
    with terminal(["sh", "-c", command, *launcher("--db", str(database), "inbox", "--print")]) as person:
        person.finish()
    words = person.shown + (log.read_text() if log.exists() else "")
    assert LINK.search(words) is None and "terminal" in words


def test_t32_a_printed_link_goes_to_the_terminal_even_where_the_output_goes_elsewhere(
    database: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with http_server(database):
        command = ["sh", "-c", f'exec "$@" >{out}', "sh", *launcher("--db", str(database), "inbox", "--print")]
        with terminal(command) as person:
            assert person.finish() == 0
        [code] = LINK.findall(person.shown)
        assert out.read_text() == ""
        assert enter(inbox_at(database), code).status_code == 200


def test_t32_a_browser_is_handed_a_file_of_ones_own_and_no_command_line_has_the_link(
    database: Path, tmp_path: Path
) -> None:
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    seen.mkdir()
    browser.write_text(
        f"""#!/bin/sh
printf '%s\\n' "$@" > {seen}/arguments
page=$(printf '%s' "$1" | sed 's,^file://,,')
cp "$page" {seen}/page
stat -c '%a %u' "$page" > {seen}/mode
cat /proc/[0-9]*/cmdline > {seen}/lines 2>/dev/null
env > {seen}/environment
echo handed over
"""
    )
    browser.chmod(0o700)
    approval_id = ask(database, "action", {"n": 1})
    with http_server(database):
        address = inbox_at(database)
        opening = launcher("--db", str(database), "inbox", approval_id)
        with terminal(opening, variables={"BROWSER": f"{browser} %s"}) as person:
            person.until("handed over")
            found = LINK.search((seen / "page").read_text())
            assert found is not None and found[0].startswith(address) and f"/approvals/{approval_id}#" in found[0]
            code = found[1]
            [argument] = (seen / "arguments").read_text().splitlines()
            page = Path(urlsplit(argument).path)
            assert page.parent == database.parent and page.exists()
            assert (seen / "mode").read_text().split() == ["600", str(os.getuid())]
            assert stat.S_IMODE(page.stat().st_mode) == 0o600
            lines = (seen / "lines").read_bytes()
            assert b"mcp_hitl" in lines and code.encode() not in lines
            assert code not in (seen / "environment").read_text() and code not in argument
            assert enter(address, code).status_code == 200
            assert person.finish() == 0
        assert "Signed in." in person.shown and code not in person.shown
        assert not page.exists() and [*database.parent.glob("*.html")] == []
        assert enter(address, code).status_code == 403


def test_t32_the_file_is_gone_where_no_browser_starts_or_the_person_gives_up(database: Path, tmp_path: Path) -> None:
    with http_server(database):
        with terminal(launcher("--db", str(database), "inbox"), variables={"BROWSER": "false"}) as person:
            assert person.finish() == 2
        assert LINK.search(person.shown) is None and [*database.parent.glob("*.html")] == []
        with terminal(launcher("--db", str(database), "inbox"), variables={"BROWSER": "true"}) as person:
            person.until("in your browser")
            assert [*database.parent.glob("*.html")] != []
            person.process.send_signal(signal.SIGINT)
            person.finish()
        assert [*database.parent.glob("*.html")] == []


def test_t32_the_file_that_a_killed_command_has_left_is_removed_by_the_next_one_and_nothing_else(
    database: Path,
) -> None:
    with http_server(database):
        with terminal(launcher("--db", str(database), "inbox"), variables={"BROWSER": "true"}) as person:
            person.until("in your browser")
        [left] = database.parent.glob("*.html")
        kept = [
            database.with_name(name)
            for name in (
                "hitl.db.open-1.html.bak",
                "hitl.db.open-x.html",
                "other.db.open-1.html",
                "hitl-db.open-1.html",
            )
        ]
        link, young = database.with_name("hitl.db.open-2.html"), database.with_name("hitl.db.open-3.html")
        for path in (*kept, young):
            path.touch()
        link.symlink_to(kept[0])
        long_ago = time.time() - 601
        for path in (*kept, left, link):
            os.utime(path, (long_ago, long_ago), follow_symlinks=False)
        with terminal(launcher("--db", str(database), "inbox", "--print")) as person:
            assert person.finish() == 0
    assert not left.exists() and young.exists() and link.is_symlink() and all(path.exists() for path in kept)


def test_t32_nothing_that_is_printed_as_json_or_exported_has_a_secret(database: Path, tmp_path: Path) -> None:
    approval_id = ask(database, "action", {"n": 1})

    async def work(desk: Desk) -> tuple[str, SignedIn]:
        return await desk.inbox.offer_link(os_user()), await desk.inbox.sign_in(await desk.inbox.offer_link(os_user()))

    code, session = on_desk(database, work)
    export = tmp_path / "export.jsonl"
    with http_server(database):
        commands = [
            ("pending", "--json"), ("show", approval_id, "--json"), ("show", approval_id), ("pending",),
            ("audit", "list", "--json"), ("audit", "head"), ("audit", "verify"), ("audit", "export", str(export)),
            ("cancel", approval_id, "--json"), ("approve", approval_id, "--json"),
        ]  # fmt: skip
        words = "".join(done.stdout + done.stderr for done in (run(database, *command) for command in commands))
    words += export.read_text()
    assert approval_id in words
    secrets = [code, session.secret, session.token, session.session.digest, session.session.token_digest]
    assert [secret for secret in secrets if secret in words] == [] and LINK.search(words) is None


def test_t32_no_tool_tells_a_model_more_of_the_inbox_than_where_it_is(database: Path) -> None:
    approval_id = ask(database, "action", {"n": 1})

    async def tools(url: str) -> str:
        async with connect(url, "2026-07-28") as client:
            got = content(await client.call_tool("get-approval", {"id": approval_id}))
            while got["url"] is None:
                got = content(await client.call_tool("get-approval", {"id": approval_id}))
            return str(got["url"]) + str(await client.call_tool("list-pending", {}))

    with http_server(database) as (url, _):
        told = anyio.run(tools, url)
    assert (
        f"/approvals/{approval_id}" in told and SECRET.search(told.replace("sha256:", "")) is None
    ) or "#" not in told
