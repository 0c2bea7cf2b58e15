"""What may stand on the command line."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..shared import limits
from ..shared.version import __version__
from . import spec as specs

if TYPE_CHECKING:
    from collections.abc import Sequence


SHORTEST_INTERVAL = 0.1
LONGEST_INTERVAL = 3600


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; ``command`` is the subcommand's name.

    Raises SystemExit(2), after telling why on stderr, for one that makes no sense.
    """
    parser = argparse.ArgumentParser(
        prog="bulkhead",
        description="A Jupyter kernel for Python that survives its interpreter.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bulkhead {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, title="commands")
    _add_install(commands)
    _add_uninstall(commands)
    commands.add_parser(
        "list", help="show Bulkhead's kernelspecs and their Pythons", allow_abbrev=False
    )
    _add_run(commands)
    _add_top(commands)
    return parser.parse_args(argv)


if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no other name


def _add_install(commands: Commands) -> None:
    parser = commands.add_parser(
        "install",
        help="install a kernelspec for this very Python",
        description="Install a kernelspec for this very Python: without options for all users of "
        "the machine.",
        allow_abbrev=False,
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="for this user only")
    where.add_argument("--prefix", type=_text, help="under PREFIX/share/jupyter/kernels")
    where.add_argument(
        "--sys-prefix",
        dest="prefix",
        action="store_const",
        const=sys.prefix,
        help=f"in this environment, which is --prefix {sys.prefix}",
    )
    parser.add_argument(
        "--name", type=_name, default=specs.NAME, help=f"the kernelspec's name [{specs.NAME}]"
    )
    parser.add_argument(
        "--display-name", type=_text, metavar="NAME", help="the name that people see"
    )
    parser.add_argument(
        "--env",
        nargs=2,
        action=_Variable,
        default={},
        metavar=("NAME", "VALUE"),
        help="an environment variable of the kernel; may be given more than once",
    )
    parser.add_argument("--profile", type=_text, help="the IPython profile to load")
    parser.add_argument(
        "--memory-limit",
        type=_size,
        metavar="SIZE",
        help="memory that the interpreter and what it starts may use, like 4GiB",
    )
    parser.add_argument(
        "--provisioner",
        action="store_true",
        help="let a restart replace the interpreter only, which is faster; this package has to be "
        "installed in Jupyter's own environment, too",
    )


def _add_uninstall(commands: Commands) -> None:
    parser = commands.add_parser(
        "uninstall", help="remove a kernelspec of Bulkhead's", allow_abbrev=False
    )
    parser.add_argument(
        "name", nargs="?", type=_name, default=specs.NAME, metavar="NAME", help=f"[{specs.NAME}]"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _add_run(commands: Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="execute a notebook on the kernel",
        description="Execute a notebook in its own folder, on the kernel of this very Python, "
        "whatever kernel the notebook names. The notebook itself is not changed.",
        epilog="A cell with the tag raises-exception may fail; one with the tag skip-execution is "
        "not run. The exit status is 0, or 1 if the notebook failed.",
        allow_abbrev=False,
    )
    parser.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT.ipynb",
        help="where the executed notebook goes, failed or not; without this nothing is written",
    )
    parser.add_argument(
        "--allow-errors", action="store_true", help="go on after any cell that failed"
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="the longest that a cell may take"
    )


def _add_top(commands: Commands) -> None:
    parser = commands.add_parser(
        "top",
        help="show the running kernels and what they use",
        description="Show your running kernels, live: what they do, what they use, and keys to "
        "interrupt and restart them. Kernels that are not Bulkhead's are shown too, with what the "
        "system knows of them.",
        allow_abbrev=False,
    )
    parser.add_argument("--once", action="store_true", help="print a table, and end")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a list of objects, one a kernel, and end; in bytes and seconds",
    )
    parser.add_argument(
        "--interval",
        type=_interval,
        default=2.0,
        metavar="SECONDS",
        help="from one look of the live view to the next [2]",
    )


class _Variable(argparse.Action):
    """Collects the pairs of --env. A name that no environment can hold is refused."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[str] | None,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        assert values is not None
        name, value = values
        if not name or "=" in name:
            parser.error(f"argument --env: {name!r} cannot be the name of a variable")
        setattr(namespace, self.dest, getattr(namespace, self.dest) | {name: value})


def _name(value: str) -> str:
    try:
        return specs.check_name(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _text(value: str) -> str:
    if not value:
        raise argparse.ArgumentTypeError("it must not be empty")
    return value


def _size(value: str) -> str:
    try:
        limits.parse_memory(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return value


def _seconds(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not int(value):
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number of seconds above 0")
    return int(value)


def _interval(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not SHORTEST_INTERVAL <= seconds <= LONGEST_INTERVAL:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a number of seconds from {SHORTEST_INTERVAL} to {LONGEST_INTERVAL}"
        )
    return seconds
