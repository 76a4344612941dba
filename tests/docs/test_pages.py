"""Every command and every example of the documentation is run."""

import re
from pathlib import Path

import click
import pytest
from docs.pages import LANGUAGES, PAGES, Block, Reader, blocks_of, name_of

from mcp_hitl.cli.main import cli

ELSEWHERE = {
    "python3 -m venv .venv && . .venv/bin/activate": "the tests run in such an environment already",
    "pip install ../mcp_hitl": "needs the package index; `make` installs the same before every test",
    "uv tool install .": "needs uv and the package index",
    "make demo": "tests/acceptance/test_demo.py",
    "make run": "tests/acceptance/test_main_job.py",
    "claude mcp add": "needs Claude Code; tests/cli/test_install.py has what it must write",
    "npx @modelcontextprotocol/inspector": "tests/acceptance/test_inspector.py",
    "mkdir first-": "the test gives each page an empty folder",
}
"""Lines of `sh` that are not run here, by how they begin, and why."""

BY_ANOTHER_TEST = {
    ("docs/deploy.md", "sh"): "test_deploy_page.py",
    ("docs/deploy.md", "sql"): "test_deploy_page.py",
    ("docs/deploy.md", "text"): "test_deploy_page.py",
    ("docs/reference/flows.md", "python"): "test_library_pages.py",
    ("docs/reference/library.md", "python"): "test_library_pages.py",
    ("docs/how-to/decide-in-your-own-program.md", "python"): "test_library_pages.py",
    ("docs/how-to/settle-an-unknown-outcome.md", "sh"): "test_library_pages.py",
    ("docs/how-to/change-a-flow.md", "text"): "test_library_pages.py",
    ("docs/reference/policy-file.md", "text"): "test_policy_page.py",
    ("docs/reference/tools-and-commands.md", "text"): "a drawing",
}
"""Blocks of a page that have a test of their own."""


def to_follow(page: Path) -> list[Block]:
    """The blocks of a page without what is tested elsewhere."""
    found = [block for block in blocks_of(page) if (block.page, block.language) not in BY_ANOTHER_TEST]
    return [
        Block(block.page, block.language, "\n".join(lines_to_run(block.code)), block.before)
        if block.language == "sh"
        else block
        for block in found
    ]


def lines_to_run(code: str) -> list[str]:
    return [line for line in code.splitlines() if not line.startswith(tuple(ELSEWHERE))]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_works_as_it_says(page: Path, tmp_path: Path) -> None:
    blocks = to_follow(page)
    assert {block.language for block in blocks} <= LANGUAGES
    reader = Reader(tmp_path)
    try:
        for block in blocks:
            reader.follow(block)
    finally:
        reader.stop()
    assert reader.unused == set()


def test_nothing_is_excused_that_is_not_there() -> None:
    found = [block for page in PAGES for block in blocks_of(page)]
    lines = [line for block in found if block.language == "sh" for line in block.code.splitlines()]
    assert [begin for begin in ELSEWHERE if not any(line.startswith(begin) for line in lines)] == []
    assert set(BY_ANOTHER_TEST) <= {(block.page, block.language) for block in found}


def commands() -> list[str]:
    """Every command of the program that is named in a sentence or a table."""
    return sorted({found for page in PAGES for found in re.findall(r"`mcp-hitl ([^`]+)`", page.read_text("utf-8"))})


@pytest.mark.parametrize("named", commands())
def test_a_command_in_a_sentence_exists(named: str) -> None:
    command: click.Command = cli
    options: set[str] = set()
    for word in named.split():
        options |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        if word.startswith("--"):
            assert word in options, f"{word} of mcp-hitl {named}"
        elif isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word) or command
    assert not isinstance(command, click.Group) or named.split()[-1] == command.name or named.startswith("--"), named
