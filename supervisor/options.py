"""The command line of the supervisor. Imports nothing heavy: the zygote is forked after it."""

from __future__ import annotations

import os
from typing import NamedTuple

from ..worker.options import Options as WorkerOptions

USAGE = """\
usage: python -m bulkhead_kernel.supervisor [-f FILE] [options] [IPython options]

  -f FILE, --connection-file FILE   the connection file that Jupyter wrote; without it the kernel
                                    writes one, and tells its path
  --log-level LEVEL                 DEBUG, INFO, WARNING (default) or ERROR
  -h, --help                        show this

Everything else goes to IPython: --profile=NAME, --ipython-dir=PATH, --matplotlib=inline,
--Class.trait=value.
"""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Options(NamedTuple):
    """What the command line says."""

    connection_file: str
    log_level: str
    worker: WorkerOptions


def parse_options(argv: list[str]) -> Options:
    """Read the command line. Raises SystemExit, with words, for what it cannot use."""
    values = {"connection_file": "", "log_level": os.environ.get("BULKHEAD_LOG_LEVEL", "WARNING")}
    ours = {"-f": "connection_file", "--connection-file": "connection_file"}
    ours |= {"--log-level": "log_level", "--IPKernelApp.connection_file": "connection_file"}
    for_ipython: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        if argument in ("-h", "--help"):
            print(USAGE)  # noqa: T201
            raise SystemExit(0)
        name, has_value, value = argument.partition("=")
        if name not in ours:
            for_ipython.append(argument)
            continue
        if not has_value:
            value = next(arguments, "")
        if not value:
            raise SystemExit(f"bulkhead: {name} needs a value.\n\n{USAGE}")
        values[ours[name]] = value
    level = values["log_level"].upper()
    if level not in LEVELS:
        raise SystemExit(f"bulkhead: --log-level must be one of {', '.join(LEVELS)}, not {level!r}")
    session = os.urandom(16).hex()
    worker = WorkerOptions(values["connection_file"], session, tuple(for_ipython))
    return Options(values["connection_file"], level, worker)
