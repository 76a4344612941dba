"""The environment names the database, the key and the policy file."""

import subprocess
import sys
from pathlib import Path

import pytest

from mcp_hitl.config import CONFIGURATION, DATABASE, KEY, Location, Settings, default_database, load
from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid


def test_without_a_policy_file_the_built_in_kinds_are_there() -> None:
    assert load({}) == Settings(default_database())
    assert load({CONFIGURATION: ""}).rulebook == Rulebook()


def test_the_policy_file_is_read_into_the_settings(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text('profile = "team"\nretention = "30 days"\n')
    settings = load({CONFIGURATION: str(tmp_path / "policy.toml"), DATABASE: str(tmp_path / "a.db")})
    assert settings.rulebook.profile is Profile.TEAM
    assert settings.retention is not None and settings.retention.days == 30
    assert settings.database.file == tmp_path / "a.db"


def test_a_policy_file_that_is_missing_or_mistaken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="There is no policy file at"):
        load({CONFIGURATION: str(tmp_path / "policy.toml")})
    (tmp_path / "policy.toml").write_text("profile = 1")
    with pytest.raises(Invalid, match=r"policy\.toml has 1 mistake\.\n  profile: must be text"):
        load({CONFIGURATION: str(tmp_path / "policy.toml")})


def test_the_command_line_goes_before_the_environment_and_a_server_is_no_file(tmp_path: Path) -> None:
    location = load({DATABASE: "x.db"}, database=str(tmp_path / "y.db")).database
    assert (str(location), location.file) == (str(tmp_path / "y.db"), tmp_path / "y.db")
    assert load({DATABASE: "postgresql://x"}).database == Location("postgresql://x")
    with pytest.raises(Invalid, match=r"the path of a file, or a URL that begins with postgresql://"):
        load({DATABASE: "mysql://x"})
    assert Location("postgresql://x").file is None


def test_a_key_has_enough_bytes() -> None:
    assert load({KEY: "k" * 32}).key == b"k" * 32
    with pytest.raises(Invalid, match="at least 32 bytes"):
        load({KEY: "k" * 31})


def test_settings_without_a_policy_file_load_nothing_that_reads_one() -> None:
    program = (
        "import sys; before = set(sys.modules); from mcp_hitl.config import load; load({}); "
        "late = {'tomllib', 'jsonschema', 'pydantic', 'mcp_hitl.config.policy_file', 'mcp_hitl.present.explanation'}; "
        "print(sorted(late & (sys.modules.keys() - before)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
