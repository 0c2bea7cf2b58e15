"""The command ``python3 -m benchmarks.raw_mode``; it makes the environments that it needs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import environments
from benchmarks.kernels import named

DEFAULT = ("ipykernel6", "ipykernel", "bulkhead")


def main() -> int:
    """Run the rounds, print the table; 1 if a cell got stuck in a kernel of ours."""
    options = _options()
    environments.make(options.kernels, again=False)
    environments.enter(sys.argv[1:], module="benchmarks.raw_mode")

    from .driver import drive  # noqa: PLC0415 - it needs the environment that was just entered
    from .tally import merge, table  # noqa: PLC0415 - as above

    kernels = [named(name) for name in options.kernels]
    numbers = range(options.first, options.first + options.rounds)
    tallies = drive(kernels, numbers, options.deadline)
    if options.json:
        tallies = merge(options.json, tallies)
    print(table(tallies))
    ours = [tallies[kernel.name] for kernel in kernels if kernel.name == "bulkhead"]
    return int(any(tally.stuck for tally in ours))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.raw_mode", description="Imitate VS Code's raw mode."
    )
    parser.add_argument("--kernels", nargs="+", default=list(DEFAULT), metavar="KERNEL")
    parser.add_argument("--rounds", type=int, default=100, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first")
    parser.add_argument("--deadline", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="add the counts to those that stand there"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
