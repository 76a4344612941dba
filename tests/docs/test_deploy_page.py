"""The page about PostgreSQL, followed on real servers: start, a role without rights, back up, restore, confirm."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import anyio
import postgres
import psycopg
import pytest
from asked import AGENT, lunch
from docs.pages import PAGES, blocks_of
from proxies import DEPLOY
from terminal import at_terminal

from mcp_hitl.desk import Desk
from mcp_hitl.desk.copies import older
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.postgres import PostgresStore

[PAGE] = [page for page in PAGES if page.name == "deploy.md"]
SHELL = [
    dedent(block.code) for block in blocks_of(PAGE) if block.language == "sh" and "mcp-hitl migrate" not in block.code
]
[MOVING] = [dedent(block.code) for block in blocks_of(PAGE) if "mcp-hitl migrate" in block.code]
[RIGHTS] = [block.code for block in blocks_of(PAGE) if block.language == "sql"]
[ARCHIVING] = [block.code for block in blocks_of(PAGE) if block.language == "text"]
BIN = Path(__file__).parents[2] / ".venv" / "bin"
ELSEWHERE = (
    "python3 -m venv /opt/mcp-hitl",
    "systemctl daemon-reload",
    'export MCP_HITL_KEY="$(openssl rand -hex 32)" POSTGRES',
)
"""Blocks that need systemd or a container engine, by how they begin."""
MOMENT = "2026-11-28 08:00:00+00"


def block(*words: str) -> str:
    """The one block of the page in which these words stand."""
    [found] = [code for code in SHELL if all(word in code for word in words)]
    return found


@pytest.fixture(scope="module")
def server() -> postgres.Server:
    """A server whose database is named as on the page."""
    postgres.server().create("approvals")
    return postgres.server()


@contextmanager
def archiving() -> Generator[postgres.Server]:
    """A server that keeps its write-ahead log as the page says."""
    server = postgres.Server("-c", "fsync=off")
    try:
        own(server, "mkdir -p /backup/wal")
        server.stop("fast")
        with (server.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(here(ARCHIVING, server))
        server.start()
        server.create("approvals")
        yield server
    finally:
        server.remove()


def here(code: str, server: postgres.Server) -> str:
    """The code of a block, on the tests' own server."""
    for name in ("approvals", "restored", "moved"):
        code = code.replace(f"postgresql://hitl@db.example.com/{name}", server.url(name))
    code = code.replace("/backup/", f"{server.folder}/backup/").replace("/var/lib/postgresql/", f"{server.folder}/")
    return code.replace("pg_ctl ", f"pg_ctl -o '-k {server.folder} -c listen_addresses= -c fsync=off' -l log ")


def sh(server: postgres.Server, *blocks: str, user: str | None = None) -> str:
    """Run blocks in one shell, as a reader does; what they print."""
    programs = postgres.tools()
    path = f"{BIN}:{programs}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", here("\n".join(blocks), server)],
        env={"PATH": path, "HOME": str(server.folder), "LC_ALL": "C.UTF-8"},
        cwd=server.folder,
        capture_output=True,
        text=True,
        user=user,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: `doctor` finds what is unsafe
    return done.stdout + done.stderr


def own(server: postgres.Server, *blocks: str) -> str:
    """Run blocks as the account of the server."""
    return sh(
        server, f"export MCP_HITL_DB='{server.url('approvals')}'", *blocks, user=None if os.getuid() else "nobody"
    )


def test_every_block_is_run_or_excused() -> None:
    assert [begin for begin in ELSEWHERE if sum(code.startswith(begin) for code in SHELL) != 1] == []
    assert len(SHELL) == 6 + len(ELSEWHERE)


def test_the_page_works_as_it_says(server: postgres.Server) -> None:
    settings, first, copying = block("export MCP_HITL_DB"), block("doctor"), block("pg_dump")
    assert "Nothing is pending." in sh(server, settings, first)
    sh(server, settings, "mcp-hitl pause 2>&1 || true", copying)
    postgres.run(server.url("approvals"), *(line for line in RIGHTS.split(";\n") if line.strip(" \n;")))
    listing, confirm = block("audit list").splitlines()
    assert "paused" in sh(server, settings, listing)
    assert confirm.endswith("restore --confirm")
    with at_terminal(server.url("restored"), "restore", "--confirm") as person:
        person.answer("[y/N]: ", "y")
        assert person.finish() == 0
    assert "unbroken" in sh(server, settings, f"mcp-hitl --db '{server.url('restored')}' audit verify")
    theirs = server.url("approvals", user="desk")
    sh(server, f"mcp-hitl --db '{theirs}' pending; mcp-hitl --db '{theirs}' audit verify")
    with psycopg.connect(theirs, autocommit=True) as db:
        for attack in ("DELETE FROM mcp_hitl.audit", "UPDATE mcp_hitl.decisions SET verdict = 'reject'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(attack.encode())


def test_t43_a_server_goes_back_to_a_moment_and_is_held_until_a_person_confirms() -> None:
    with archiving() as server:
        url = server.url("approvals")
        ask(url, "Before the copy")
        own(server, block("pg_basebackup"))
        ask(url, "Before the moment")
        with psycopg.connect(url, autocommit=True) as db:
            moment = str(one(db, "SELECT clock_timestamp()"))
            ask(url, "After the moment")
            kept = server.folder / "backup" / "wal" / str(one(db, "SELECT pg_walfile_name(pg_switch_wal())"))
            while not kept.exists():
                one(db, "SELECT pg_sleep(0.01)")
        server.stop("fast")
        try:
            own(server, block("recovery_target_time").replace(MOMENT, moment))
            with psycopg.connect(url, autocommit=True) as db:
                while one(db, "SELECT pg_is_in_recovery()"):
                    one(db, "SELECT pg_sleep(0.01)")
            held, asked = anyio.run(look, url)
            assert held
            assert set(asked) == {"Before the copy", "Before the moment"}
        finally:
            own(server, "pg_ctl --pgdata=/var/lib/postgresql/restored --mode=immediate stop")


def one(db: psycopg.Connection[tuple[object, ...]], query: str) -> object:
    """The one value that a query gives."""
    row = db.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def ask(url: str, description: str) -> None:
    """Have an agent ask for the approval of an expense."""

    async def main() -> None:
        store = PostgresStore(url)
        await Desk(store, effects=EFFECTS).approvals.submit(AGENT, "expense", lunch(description=description))
        await store.close()

    anyio.run(main)


async def look(url: str) -> tuple[bool, list[object]]:
    """Whether a database is held until a person confirms that it was put back, and what is pending in it."""
    store = PostgresStore(url)
    try:
        pending = (await Desk(store, effects=EFFECTS).search.pending(AGENT)).approvals
        return await store.read(older) is not None, [approval.payload["description"] for approval in pending]
    finally:
        await store.close()


def test_the_unit_of_systemd_is_one(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze: install the package “systemd”")
    unit = (DEPLOY / "mcp-hitl@.service").read_text(encoding="utf-8")
    program = "/opt/mcp-hitl/bin/mcp-hitl"
    assert program in PAGE.read_text("utf-8").replace("/opt/mcp-hitl\n", f"{program}\n")
    file = tmp_path / "mcp-hitl@8765.service"
    file.write_text(unit.replace(program, str(Path(sys.executable).with_name("mcp-hitl"))))
    checked = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_files_agree_on_the_ports() -> None:
    compose, nginx, caddy = ((DEPLOY / name).read_text("utf-8") for name in ("compose.yaml", "nginx.conf", "Caddyfile"))
    replicas = set(re.findall(r'--port, "(\d+)"', compose))
    assert replicas == {"8765", "8766"}
    assert set(re.findall(r"server 127\.0\.0\.1:(\d+)", nginx)) == replicas
    assert set(re.findall(r" 127\.0\.0\.1:(\d+)", caddy)) == replicas


def test_a_desk_moves_as_the_page_says(server: postgres.Server) -> None:
    server.create("moved")
    said = sh(server, "mcp-hitl --db hitl.db pause", MOVING)
    assert "The desk is in" in said and "unbroken" in said
    assert "was moved to" in sh(server, "mcp-hitl --db hitl.db pending || test $? = 2")
