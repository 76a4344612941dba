"""What the tests with Node need: the packages of `tests/acceptance/typescript`, installed by `make node`."""

import shutil
from pathlib import Path

import pytest

TYPESCRIPT = Path(__file__).parent / "acceptance" / "typescript"


def require_node() -> None:
    """Leave the module out, saying why, where Node or the packages are missing."""
    if shutil.which("node") is None or shutil.which("npx") is None:
        pytest.skip("Node.js (node, npx) is not installed", allow_module_level=True)
    if not (TYPESCRIPT / "node_modules").is_dir():
        pytest.skip("the Node packages are not installed: make node", allow_module_level=True)
