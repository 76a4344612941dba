"""The file is moved, deleted or replaced under a running server: within a second it says so, and it ends."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx2
import pytest
from server.rig import pipes
from terminal import at_terminal, run
from wires import PROTOCOLS, connect, content, http_server

pytestmark = pytest.mark.anyio
if sys.platform == "win32":
    pytest.skip("Windows does not let anybody move a file that is open", allow_module_level=True)

MODERN = PROTOCOLS[-1]
PATIENCE = 60.0
WHY = "was moved, deleted or replaced while it was open"


def replaced(database: Path) -> None:
    copy = database.with_name("copy.db")
    shutil.copy(database, copy)
    copy.replace(database)


def renamed(database: Path) -> None:
    database.rename(database.with_name("old.db"))


ATTACKS: dict[str, Callable[[Path], None]] = {"deleted": Path.unlink, "renamed": renamed, "replaced": replaced}


async def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """The exit code of a process, and what it has said on stderr."""
    assert process.stderr is not None
    with anyio.fail_after(PATIENCE):
        said = await anyio.to_thread.run_sync(process.stderr.read)
        return await anyio.to_thread.run_sync(process.wait), said


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_t43_a_server_whose_database_is_gone_refuses_says_so_and_ends(
    tmp_path: Path, attack: Callable[[Path], None]
) -> None:
    database = tmp_path / "hitl.db"
    with http_server(database) as (url, process):
        async with connect(url, MODERN) as client, httpx2.AsyncClient() as http:
            asked = content(await client.call_tool("submit-expense", {"amount": 5, "description": "Lunch"}))
            ready = url.removesuffix("/mcp") + "/readyz"
            assert (await http.get(ready)).status_code == 200
            attack(database)
            began = time.monotonic()
            told = [
                await client.call_tool("get-approval", {"id": asked["id"]}),
                await client.call_tool("submit-expense", {"amount": 6, "description": "Tea"}),
            ]
            state = await http.get(ready)
            took = time.monotonic() - began
        code, said = await ended(process)
    assert [(one.is_error, content(one)["code"]) for one in told] == [(True, "unavailable")] * 2
    assert all(WHY in str(content(one)["message"]) for one in told)
    assert (state.status_code, state.json()["status"]) == (503, "unavailable") and WHY in state.json()["message"]
    assert took < 1.0
    assert code == 2 and WHY in said and "This server ends now" in said


async def test_t43_a_server_that_a_client_has_started_ends_too(tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    async with pipes(database) as client:
        await client.shake_hands()
        database.unlink()
        with anyio.fail_after(PATIENCE):
            assert await client.process.wait() == 2


async def test_t43_a_server_whose_database_is_put_back_goes_on(tmp_path: Path) -> None:
    database, away = tmp_path / "hitl.db", tmp_path / "away.db"
    with http_server(database) as (url, process):
        async with connect(url, MODERN) as client:
            database.rename(away)
            assert (await client.call_tool("list-pending", {})).is_error
            away.rename(database)
            assert not (await client.call_tool("list-pending", {})).is_error
        process.terminate()
        code, _ = await ended(process)
    assert code == 0


def test_t43_the_inbox_that_a_person_has_opened_ends_too(tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    with at_terminal(database, "inbox", "--print") as person:
        person.until("Open this link")
        database.unlink()
        assert person.finish() == 2
    assert WHY in " ".join(person.shown.split())


def test_t43_a_stop_of_a_database_with_two_names_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    assert run(database, "pause").returncode == 0
    (tmp_path / "second.db").hardlink_to(database)
    done = run(tmp_path / "second.db", "pause")
    assert done.returncode == 2 and "second name (a hard link)" in done.stderr
