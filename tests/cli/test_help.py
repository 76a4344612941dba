"""Help, version and completion, at the widths that terminals have."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from terminal import terminal
from wires import environment

from mcp_hitl import __version__
from mcp_hitl.cli.main import cli

SCRIPT = Path(sys.executable).with_name("mcp-hitl")


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


ALL = dict(commands(cli))


def printed(*words: str, **variables: str) -> str:
    command = [SCRIPT, *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**variables), check=True).stdout


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_says_in_45_characters_what_it_does(path: tuple[str, ...]) -> None:
    said = ALL[path].short_help
    assert said is not None and len(said) <= 45 and said.endswith(".")


@pytest.mark.parametrize("columns", [80, 60, 40])
@pytest.mark.parametrize("path", [(), *ALL], ids=" ".join)
def test_no_help_is_cut_or_wider_than_the_terminal(
    path: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    context = cli.make_context("mcp-hitl", ["pending"])
    for name in path:
        command = context.command
        assert isinstance(command, click.Group)
        wanted = command.get_command(context, name)
        assert wanted is not None
        context = click.Context(wanted, parent=context, info_name=name)
    text = context.command.get_help(context)
    assert "..." not in text.replace("[ARGS]...", "")
    assert max(map(len, text.splitlines())) <= columns


def test_version_is_that_of_the_package() -> None:
    assert printed("--version") == f"mcp-hitl, version {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_this_program(shell: str) -> None:
    assert f"_MCP_HITL_COMPLETE={shell}_complete" in printed("completion", shell)


def test_completion_completes_commands() -> None:
    words = {"_MCP_HITL_COMPLETE": "bash_complete", "COMP_WORDS": "mcp-hitl pen", "COMP_CWORD": "1"}
    assert printed(**words).strip() == "plain,pending"


def test_no_color_is_followed(tmp_path: Path) -> None:
    command = [str(SCRIPT), "--db", str(tmp_path / "hitl.db"), "doctor"]
    for variables, coloured in (({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)):
        with terminal(command, variables=variables) as person:
            person.finish()
        assert ("\x1b[" in person.shown) == coloured
