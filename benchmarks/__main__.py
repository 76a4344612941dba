"""Run every benchmark and print one table; each line stands for itself, so that a slow one can be waited for."""

import anyio

from benchmarks import calls, cycles, listing, pages, scale, starting, waiting, waking
from benchmarks.figures import Figure


def show(figures: list[Figure]) -> None:
    """Print figures as lines of the table."""
    for figure in figures:
        aim = f"aim {figure.aim}" if figure.aim else ""
        print(f"{figure.what:<66} {figure.value:>10,.4g} {figure.unit:<9} {aim}".rstrip(), flush=True)


def main() -> None:
    """Everything, about eight minutes; `SCALE` in the environment is the size of the last part."""
    show(starting.measure())
    show(anyio.run(waiting.measure))
    show(anyio.run(waking.measure))
    show(anyio.run(cycles.measure))
    show(anyio.run(calls.measure))
    show(anyio.run(pages.measure))
    show(anyio.run(listing.measure))
    show(scale.measure())


if __name__ == "__main__":
    main()
