"""Set up a clone as somebody will a year from now, with the oldest pip that they can have.

The clone gets an empty environment and home, and an index that holds a newer release of every package that the locks
name (a wheel without contents, version 99999). Passes if exactly what the locks name is installed, nothing that only
developing needs is there for running, and the server answers. `set_up_later.py COMMIT` does it with another commit.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path

OLDEST_PIP = "22.3"  # what Python 3.11.0 came with
ONLY_FOR_DEVELOPING = {"coverage", "hypothesis", "playwright", "pyright", "pytest", "ruff"}
# How this machine reaches its package index is no part of what is checked.
KEPT = re.compile(r"PIP_|SSL_|REQUESTS_CA_BUNDLE$|CURL_CA_BUNDLE$|(https?|no|all)_proxy$", re.IGNORECASE)
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)

INSTALLED = "import importlib.metadata as m; [print(d.name + '==' + d.version) for d in m.distributions()]"


def main(commit: str = "HEAD") -> None:
    source = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        clone, home = Path(folder, "clone"), Path(folder, "home")
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", source, clone], check=True)
        subprocess.run(["git", "checkout", "--quiet", commit], cwd=clone, check=True)
        environment = empty_environment(home, published_meanwhile(clone, Path(folder, "index")))
        make = ["make", f"PYTHON={python_with_old_pip(Path(folder, 'python'))}"]

        begun = time.monotonic()
        serve(make, clone, environment)
        print(f"set up and serving {time.monotonic() - begun:.0f} s after the clone, without a cache")
        run = installed(clone)
        expect(run, clone / "locks/run.txt")
        assert not ONLY_FOR_DEVELOPING & run.keys(), f"running does not need {ONLY_FOR_DEVELOPING & run.keys()}"

        subprocess.run([*make, ".venv/.ready-dev"], cwd=clone, env=environment, check=True)
        expect(installed(clone), clone / "locks/dev.txt")
        print(f"set up with pip {OLDEST_PIP} and an index newer than the locks: as locked")


def empty_environment(home: Path, index: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if KEPT.match(name)}
    links = f"{kept.get('PIP_FIND_LINKS', '')} {index}".strip()
    return {**kept, "PIP_FIND_LINKS": links, "HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin"}


def published_meanwhile(clone: Path, folder: Path) -> Path:
    """Write one empty wheel, version 99999, for each package that a lock of the clone names."""
    folder.mkdir()
    locks = [*clone.glob("locks/*.txt"), *clone.glob("requirements.lock")]
    for name in {name for lock in locks for name, _ in PINNED.findall(lock.read_text())}:
        stem = f"{name.replace('-', '_').replace('.', '_').lower()}-99999"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 99999\n"
        wheel = "Wheel-Version: 1.0\nGenerator: set-up-later\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
            for file, text in (("METADATA", metadata), ("WHEEL", wheel), ("RECORD", "")):
                archive.writestr(f"{stem}.dist-info/{file}", text)
    return folder


def python_with_old_pip(path: Path) -> Path:
    """Write a `python3` whose environments come with the oldest pip."""
    path.write_text(
        f"""#!/bin/sh
{sys.executable} "$@" || exit
case "$*" in "-m venv"*) .venv/bin/python -m pip install --quiet --disable-pip-version-check pip=={OLDEST_PIP} ;; esac
"""
    )
    path.chmod(0o755)
    return path


def serve(make: list[str], clone: Path, environment: dict[str, str]) -> None:
    """Run `make run` until the server answers, then stop it as Ctrl-C does."""
    answer = "http://127.0.0.1:8765/healthz"
    assert not answers(answer), "something serves on port 8765 already"
    server = subprocess.Popen([*make, "run"], cwd=clone, env=environment, start_new_session=True)
    try:
        while not answers(answer):
            if server.poll() is not None:
                sys.exit(f"`make run` ended with {server.returncode}")
            time.sleep(0.2)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, 2)
            server.wait(timeout=30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def installed(clone: Path) -> dict[str, str]:
    lines = subprocess.run(
        [clone / ".venv/bin/python", "-c", INSTALLED], check=True, capture_output=True, text=True
    ).stdout.split()
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


def expect(found: dict[str, str], lock: Path) -> None:
    """Every package that is here and that the lock names has the version that the lock names."""
    locked = {normal(name): version for name, version in PINNED.findall(lock.read_text())}
    other = {name: version for name, version in found.items() if version != locked.get(name, version)}
    assert not other, f"{lock.name} says otherwise of {other}"
    strangers = found.keys() - locked.keys() - {"pip", "setuptools", "mcp-hitl"}
    assert not strangers, f"{lock.name} does not name {strangers}"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main(*sys.argv[1:])
