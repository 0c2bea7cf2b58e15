"""From the command line to a running kernel; errors of whoever started it are told in words."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import connection, handshake, kernel
from .deadlines import Deadlines
from .errors import (
    ConnectionFileError,
    MetricsError,
    ProvisionerError,
    RegistrationError,
    WorkerStartError,
)
from .logs import NeverWaiting
from .provisioner import Provisioner
from .zygote import Zygote

if TYPE_CHECKING:
    import socket

    from .connection import Connection
    from .handshake import Registration
    from .kernel import Announce, Context
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
        found, announce = _connection(options.connection_file)
        status = kernel.run(
            found, announce, zygote, _provisioner(options.provisioner), options.worker.session,
            options.policy, Deadlines(),
        )  # fmt: skip
    except (
        ConnectionFileError, MetricsError, ProvisionerError, RegistrationError, WorkerStartError
    ) as error:  # fmt: skip
        zygote.close()
        raise SystemExit(f"bulkhead: {error}") from None
    raise SystemExit(status)


def _provisioner(fd: int) -> Provisioner:
    try:
        return Provisioner(fd)
    except OSError:
        raise ProvisionerError(
            f"--restart-in-place={fd} is no open socket. Bulkhead's provisioner sets this option; "
            "leave it out of the kernelspec."
        ) from None


def _connection(path: str) -> tuple[Connection, Announce]:
    """Read the file that was given; without one, invent a connection and tell where it is.

    With it comes what is to be done once the sockets are bound.
    """
    if path and Path(path).exists():
        fields = connection.read_fields(Path(path))
        if handshake.is_registration(fields):
            return _registration(handshake.read(fields, Path(path)))
        return connection.use(fields, Path(path)), _tell_nobody
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
    return connection.invent(file), _tell_nobody


def _tell_nobody(_: Connection, __: Context) -> None:
    """Whoever wrote a connection file knows what is in it."""


def _registration(registration: Registration) -> tuple[Connection, Announce]:
    def announce(bound: Connection, context: Context) -> None:
        handshake.register(registration, bound, context, handshake.ANSWERED)

    return handshake.connection(registration, _runtime_folder()), announce


def _default_path() -> Path:
    return _runtime_folder() / f"kernel-{os.getpid()}.json"


def _runtime_folder() -> Path:
    from jupyter_core.paths import jupyter_runtime_dir  # noqa: PLC0415 - seldom needed, and slow

    return Path(jupyter_runtime_dir())
