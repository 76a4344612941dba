"""Set up from a clone as on a day long after the locks were made, with the oldest pip that this Python came with.

A folder of empty packages, each newer than anything locked, stands for what will be published by then. Both set-ups
must install what the locks say and nothing else, and the first page must come.
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PIP = {(3, 11): "22.3", (3, 12): "23.2.1", (3, 13): "24.2", (3, 14): "25.2"}
KEPT = re.compile(r"PATH|PIP_.*|SSL_.*|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|.*_proxy", re.IGNORECASE)
"""What reaches the package index; everything else of this environment is left out."""
BROUGHT = {"pip", "setuptools", "mcp-hitl"}
INSTALLED = """
import json
from importlib.metadata import distributions
print(json.dumps({one.metadata["Name"]: one.version for one in distributions()}))
"""
APPLYING = """
import json, sys
from packaging.requirements import Requirement
locked = [Requirement(line) for line in json.load(sys.stdin)]
here = [one for one in locked if not one.marker or one.marker.evaluate()]
print(json.dumps({one.name: str(one.specifier).lstrip("=") for one in here}))
"""


def locked(name: str) -> list[str]:
    """The requirements of a lock, without their hashes."""
    lines = (ROOT / "locks" / name).read_text().splitlines()
    return [line.rstrip("\\ ") for line in lines if line[:1].isalnum()]


def publish(folder: Path, requirement: str) -> None:
    """Put an empty package into the folder, under the name of the locked one and newer than it."""
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None
    name = re.sub(r"[-_.]+", "_", match[0]).lower()
    about = f"{name}-99999.dist-info"
    files = {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 99999\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: ci\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{about}/RECORD,,\n"
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    with zipfile.ZipFile(folder / f"{name}-99999-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{about}/RECORD": record}.items():
            wheel.writestr(path, text)


def normal(versions: dict[str, str]) -> dict[str, str]:
    """Versions by normalized names, without what is not in a lock."""
    named = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in versions.items()}
    return {name: version for name, version in named.items() if name not in BROUGHT}


def main() -> None:
    """Set up twice: for running, then for developing."""
    pip = OLDEST_PIP.get(sys.version_info[:2])
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        index, home, clone = place / "published", place / "home", place / "clone"
        index.mkdir()
        home.mkdir()
        for requirement in {*locked("run.txt"), *locked("dev.txt")}:
            publish(index, requirement)
        environment = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
        links = f"{environment.get('PIP_FIND_LINKS', '')} {index}".strip()
        environment |= {"HOME": str(home), "PIP_FIND_LINKS": links}
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        python = clone / ".venv" / "bin" / "python"
        make = ["make", f"PYTHON={sys.executable}", f"WITH_PIP={pip or ''}"]

        def check(*locks: str) -> None:
            found = subprocess.check_output([python, "-c", INSTALLED], env=environment, text=True)
            wanted = json.dumps([line for lock in locks for line in locked(lock)])
            said = subprocess.check_output([python, "-c", APPLYING], input=wanted, env=environment, text=True)
            installed, expected = normal(json.loads(found)), normal(json.loads(said))
            if installed != expected:
                sys.exit(f"Installed is not what is locked: {sorted(installed.items() ^ expected.items())}")

        begun = time.monotonic()
        subprocess.run([*make, ".venv/.ready"], cwd=clone, env=environment, check=True)
        first_page([*make, "run", "PORT=0"], clone, environment)
        took = time.monotonic() - begun
        check("run.txt")
        subprocess.run([*make, ".venv/.ready-dev"], cwd=clone, env=environment, check=True)
        check("run.txt", "dev.txt")
        begun = time.monotonic()
        first_page([*make, "run", "PORT=0"], clone, environment)
        again = time.monotonic() - begun
        print(f"Set up with pip {pip or 'of its own'}: first page after {took:.1f} s, then after {again:.1f} s")


def first_page(command: list[str], clone: Path, environment: dict[str, str]) -> None:
    """Serve until the inbox has answered."""
    with subprocess.Popen(command, cwd=clone, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            address = next(line for line in server.stderr if "MCP endpoint" in line).split()[-1].removesuffix("/mcp")
            try:
                with urllib.request.urlopen(address) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                status = error.code  # nobody is signed in: the page says how to
            assert status in {200, 401, 403}, status
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
