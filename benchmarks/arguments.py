"""The command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT = ("ipykernel", "xpython", "floor", "bulkhead")
"""The first kernel is the one that all others are compared with."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; exits with a usage message if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks",
        description="Measure Jupyter kernels side by side, one trial of each in turn.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    kernels = argparse.ArgumentParser(add_help=False)
    kernels.add_argument(
        "--kernels",
        nargs="+",
        default=list(DEFAULT),
        metavar="KERNEL",
        help="names (ipykernel, xpython, raw, floor, bulkhead), a name with the Python that has it"
        " (bulkhead=/path/to/python), or any kernel (mine=/path/to/kernel.json); the first one is"
        " what the others are compared with. Default: %(default)s",
    )
    reports = argparse.ArgumentParser(add_help=False)
    reports.add_argument(
        "--markdown",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="write the tables here: between marks like <!-- figures -->, or as a new page",
    )
    reports.add_argument("--plot", type=Path, metavar="FILE", help="write the plot (SVG) here")

    commands.add_parser("setup", parents=[kernels], help="make the environments of the kernels")
    measure = commands.add_parser("run", parents=[kernels, reports], help="measure")
    measure.add_argument("--rows", nargs="+", metavar="ROW", help="only these; `list` names all")
    measure.add_argument("--rounds", type=int, default=5, metavar="N", help="default: %(default)s")
    measure.add_argument(
        "--quick", action="store_true", help="fewer requests, less output: a look, no figures"
    )
    measure.add_argument("--json", type=Path, metavar="FILE", help="write all samples here")
    render = commands.add_parser("render", parents=[reports], help="tables and plot from figures")
    render.add_argument("figures", type=Path, help="what `run --json` has written")
    return parser.parse_args(argv)
