"""The path by which a flow is known, the same in every process of its program."""

import sys
from pathlib import Path


def path_of(flow: type) -> str:
    """Return `package.module:Class`. The module that a program starts with is named after its file, not `__main__`."""
    return f"{_named(flow.__module__)}:{flow.__qualname__}"


def _named(module: str) -> str:
    if module != "__main__":
        return module
    main = sys.modules[module]
    if main.__spec__ is not None:
        return main.__spec__.name.removesuffix(".__main__")
    return Path(getattr(main, "__file__", None) or module).stem
