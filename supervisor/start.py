"""From the command line to a running kernel; errors of whoever started it are told in words."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import connection, kernel
from .control import Deadlines
from .errors import ConnectionFileError, MetricsError, WorkerStartError
from .logs import NeverWaiting
from .zygote import Zygote

if TYPE_CHECKING:
    import socket

    from .connection import Connection
    from .options import Options


def start(options: Options, control: socket.socket, pid: int) -> None:
    """Run a kernel on the zygote that was forked. Raises SystemExit with what went wrong."""
    logging.basicConfig(
        level=options.log_level,
        handlers=[NeverWaiting()],
        format="[bulkhead] %(asctime)s %(levelname)s %(message)s",
    )
    zygote = Zygote(control, pid)
    try:
        found = _connection(options.connection_file)
        status = kernel.run(found, zygote, options.worker.session, options.policy, Deadlines())
    except (ConnectionFileError, MetricsError, WorkerStartError) as error:
        zygote.close()
        raise SystemExit(f"bulkhead: {error}") from None
    raise SystemExit(status)


def _connection(path: str) -> Connection:
    """Read the file that was given; without one, invent a connection and tell where it is."""
    if path and Path(path).exists():
        return connection.read(Path(path))
    if path and os.sep in path and not Path(path).parent.is_dir():
        raise ConnectionFileError(
            f"The connection file {path} does not exist, and neither does its folder. "
            "Jupyter writes this file and passes its path with -f."
        )
    file = Path(path) if path else _default_path()
    print(  # noqa: T201 - for the person who starts a kernel by hand
        f"To connect another client to this kernel, use:\n    --existing {file.name}",
        file=sys.stderr,
    )
    return connection.invent(file)


def _default_path() -> Path:
    from jupyter_core.paths import jupyter_runtime_dir  # noqa: PLC0415 - seldom needed, and slow

    return Path(jupyter_runtime_dir()) / f"kernel-{os.getpid()}.json"
