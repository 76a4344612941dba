"""Commands for policy files: `policy check` and `policy explain`."""

from pathlib import Path
from typing import BinaryIO

import click

from mcp_hitl.cli.running import DONE, print_json, run
from mcp_hitl.config import CONFIGURATION


@click.group(short_help="Check and explain a policy file.")
def policy() -> None:
    """Check a policy file, and explain what it does with a payload."""


@policy.command(short_help="Check a policy file and show its policy.")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Print the policy that FILE results in, or a list of errors with their locations (exit code 2)."""

    async def main() -> int:
        # Imported late, like all of this file: no other command needs it.
        from mcp_hitl.config.policy_file import read
        from mcp_hitl.present.policy_text import summary

        click.echo(summary(read(file, check_flows=True).rulebook))
        return DONE

    run(main)


@policy.command(short_help="Explain what happens to a payload.")
@click.argument("kind")
@click.argument("payload", type=click.File("rb"), metavar="PAYLOAD.json")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar=CONFIGURATION,
    help=f"The policy file (default: ${CONFIGURATION}).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as JSON.")
def explain(kind: str, payload: BinaryIO, file: Path | None, as_json: bool) -> None:
    """Explain what would happen to a payload of KIND, and why. Use `-` to read it from stdin."""

    async def main() -> int:
        from mcp_hitl.config.policy_file import read
        from mcp_hitl.domain.policy.rulebook import Rulebook
        from mcp_hitl.domain.values import strict_json
        from mcp_hitl.present import explanation, policy_text

        rulebook = read(file).rulebook if file else Rulebook()
        explained = explanation.explain(rulebook, kind, strict_json.parse(payload.read(), what="payload"))
        if as_json:
            print_json(explained.shape())
        else:
            click.echo(policy_text.explanation(explained))
        return DONE

    run(main, as_json=as_json)
