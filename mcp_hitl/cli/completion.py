"""`completion`: a script that lets a shell complete commands and options with Tab."""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print a completion script for your shell.")
@click.argument("shell", type=click.Choice(_SHELLS), metavar="|".join(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands and options with Tab in your shell.

    For bash, add `eval "$(mcp-hitl completion bash)"` to ~/.bashrc. For zsh, add `eval "$(mcp-hitl completion zsh)"` to
    ~/.zshrc. For fish, write the output to ~/.config/fish/completions/mcp-hitl.fish.
    """
    root, kind = context.find_root(), get_completion_class(shell)
    assert kind is not None
    click.echo(kind(root.command, {}, "mcp-hitl", "_MCP_HITL_COMPLETE").source())
