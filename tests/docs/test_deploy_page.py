"""The page about PostgreSQL, followed on a real server: start, a role without rights, back up, restore, confirm."""

import os
import subprocess
from pathlib import Path

import postgres
import psycopg
import pytest
from docs.pages import PAGES, blocks_of
from terminal import at_terminal

[PAGE] = [page for page in PAGES if page.name == "deploy.md"]
SHELL = [block.code for block in blocks_of(PAGE) if block.language == "sh" and "migrate" not in block.code]
[MOVING] = [block.code for block in blocks_of(PAGE) if "mcp-hitl migrate" in block.code]
[RIGHTS] = [block.code for block in blocks_of(PAGE) if block.language == "sql"]
BIN = Path(__file__).parents[2] / ".venv" / "bin"


@pytest.fixture(scope="module")
def server() -> postgres.Server:
    """A server whose database is named as on the page."""
    postgres.server().create("approvals")
    return postgres.server()


def here(code: str, server: postgres.Server) -> str:
    """The code of a block, on the tests' own server."""
    for name in ("approvals", "restored", "moved"):
        code = code.replace(f"postgresql://hitl@db.example.com/{name}", server.url(name))
    return code


def sh(server: postgres.Server, *blocks: str) -> str:
    """Run blocks in one shell, as a reader does; what they print."""
    programs = postgres.tools()
    path = f"{BIN}:{programs}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", here("\n".join(blocks), server)],
        env={"PATH": path, "HOME": str(server.folder), "LC_ALL": "C.UTF-8"},
        cwd=server.folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: `doctor` finds what is unsafe
    return done.stdout + done.stderr


def test_the_page_works_as_it_says(server: postgres.Server) -> None:
    settings, first, copying, confirming = SHELL
    assert "Nothing is pending." in sh(server, settings, first)
    sh(server, settings, "mcp-hitl pause 2>&1 || true", copying)
    postgres.run(server.url("approvals"), *(line for line in RIGHTS.split(";\n") if line.strip(" \n;")))
    listing, confirm = confirming.splitlines()
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


def test_a_desk_moves_as_the_page_says(server: postgres.Server) -> None:
    server.create("moved")
    said = sh(server, "mcp-hitl --db hitl.db pause", MOVING)
    assert "The desk is in" in said and "unbroken" in said
    assert "was moved to" in sh(server, "mcp-hitl --db hitl.db pending || test $? = 2")
