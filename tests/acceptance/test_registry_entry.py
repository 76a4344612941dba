"""`server.json`, with which the MCP registry lists the program."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mcp_hitl import __version__, config

ROOT = Path(__file__).parents[2]
ENTRY: dict[str, Any] = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCHEMA: dict[str, Any] = json.loads(Path(__file__).with_name("server.schema.json").read_text(encoding="utf-8"))


def check(entry: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator
    validator.check_schema(SCHEMA)
    jsonschema.validate(entry, SCHEMA, validator, format_checker=validator.FORMAT_CHECKER)


def test_the_entry_satisfies_the_registrys_schema() -> None:
    check(ENTRY)


MISTAKES: list[dict[str, Any]] = [
    {"name": "mcp-hitl"},
    {"description": "x" * 101},
    {"version": "latest"},
    {"packages": [{}]},
    {"homepage": "https://example.com"},
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_schema_refuses_what_the_registry_would(mistake: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(ENTRY | mistake)


def test_the_entry_names_this_version_of_this_package() -> None:
    [package] = ENTRY["packages"]
    assert {ENTRY["version"], package["version"], PROJECT["version"]} == {__version__}
    assert package["identifier"] == PROJECT["name"] and package["identifier"] in PROJECT["scripts"]


def test_the_readme_claims_the_entrys_name_for_the_package() -> None:
    claimed = re.findall(r"<!-- mcp-name: (\S+) -->", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert claimed == [ENTRY["name"]]
    assert PROJECT["readme"] == "README.md"  # which is what the registry reads on PyPI


def test_the_entry_offers_the_variables_that_are_read() -> None:
    [package] = ENTRY["packages"]
    offered = {variable["name"] for variable in package["environmentVariables"]}
    assert offered == {config.DATABASE, config.CONFIGURATION, config.KEY}
