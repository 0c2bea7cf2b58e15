"""The kernel as a whole: its parts, built in the one order that works and taken down in reverse."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING

import zmq

from ..shared.samples import Writer
from . import connection as connections
from . import events
from . import sockets as bound
from .control import Control
from .heartbeat import Heartbeat
from .inboxes import Inboxes
from .iopub import IOPub
from .monitor import Monitor
from .shell import Shell
from .wire import Builder, Signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .connection import Connection
    from .deadlines import Deadlines
    from .metrics import Server
    from .policy import Policy
    from .provisioner import Provisioner
    from .zygote import Zygote

    Context = zmq.Context[Any]
    Announce = Callable[[Connection, Context], None]

log = logging.getLogger(__name__)

EXIT_FAILED = 70  # EX_SOFTWARE of sysexits.h


def run(
    connection: Connection,
    announce: Announce,
    zygote: Zygote,
    provisioner: Provisioner,
    session: str,
    policy: Policy,
    deadlines: Deadlines,
) -> int:
    """Be a kernel until it is shut down; give the status with which to exit.

    ``announce`` is called once the sockets are bound. Raises ConnectionFileError if they cannot be,
    MetricsError if metrics cannot be served, and what ``announce`` raises.
    """
    inboxes = Inboxes()
    server = _serve_metrics(policy.metrics, inboxes)
    context, heart_context = zmq.Context(io_threads=1), zmq.Context(io_threads=1)
    given, ours = connection, False
    sockets, connection = bound.bind(given, context, heart_context)
    try:
        ours = _publish_file(given, connection)
        announce(connection, context)
    except BaseException:
        for each in (context, heart_context):
            each.destroy(linger=0)
        sockets.place.clean_up()
        if ours:
            given.path.unlink(missing_ok=True)
        raise
    signer = Signer(connection.key, connection.signature_scheme)
    builder = Builder(signer, session)
    control = Control(
        sockets.control, inboxes, signer, builder, zygote, provisioner, _parent(), policy, deadlines
    )
    shell = Shell(
        sockets.shell, sockets.stdin, inboxes, signer, builder, connection,
        subshells=policy.subshells,
    )  # fmt: skip
    iopub = IOPub(sockets.iopub, inboxes, builder)
    monitor = Monitor(
        inboxes,
        Writer(zygote.samples),
        policy.limits,
        policy.kill_after,
        zygote.pid,
        server.address if server is not None else None,
    )
    heartbeat = Heartbeat(heart_context, sockets.hb)

    def guarded(part: Callable[[], None]) -> Callable[[], None]:
        """Let a part that fails end the whole: half a kernel would hang its clients (race 46)."""

        def guard() -> None:
            try:
                part()
            except BaseException:
                log.critical("the supervisor failed; the kernel ends", exc_info=True)
                control.end_worker_now()
                os._exit(EXIT_FAILED)

        return guard

    _catch_signals(inboxes)
    threads = [
        threading.Thread(target=guarded(part.run), name=name)
        for name, part in (
            ("iopub", iopub),
            ("shell", shell),
            ("monitor", monitor),
        )
    ]
    gc.freeze()  # what is there now is there for good
    gc.enable()
    heartbeat.start()
    for thread in threads:
        thread.start()
    guarded(control.run)()
    for thread in threads:
        thread.join()
    zygote.close()
    control.close()
    context.term()
    heartbeat.stop()
    if server is not None:
        server.stop()
    sockets.place.clean_up()
    if ours:
        connection.path.unlink(missing_ok=True)
    return control.exit_status


def _publish_file(given: Connection, chosen: Connection) -> bool:
    """Write the ports that were chosen here into the connection file; tell if the file is ours."""
    ours = not given.path.exists()
    if ours or given.ports != chosen.ports:
        connections.write(chosen)
    return ours


def _serve_metrics(address: str, inboxes: Inboxes) -> Server | None:
    if not address:
        return None
    from . import metrics  # noqa: PLC0415 - a web server is slow to import, and seldom wanted

    return metrics.serve(address, inboxes)


def _catch_signals(inboxes: Inboxes) -> None:
    """Let signals become events. SIGINT is the worker's business, and comes as a message."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def ask_to_end(signum: int, _: object) -> None:
        inboxes.control.put(events.Signalled(signal.Signals(signum).name))

    signal.signal(signal.SIGTERM, ask_to_end)
    signal.signal(signal.SIGHUP, ask_to_end)


def _parent() -> int | None:
    """Give a descriptor that is readable once the process that started the kernel is gone."""
    pid = os.environ.get("JPY_PARENT_PID", "")
    if not pid.isdigit() or int(pid) <= 1 or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(int(pid))
    except ProcessLookupError:
        log.warning("the process that started this kernel (pid %s) is already gone", pid)
        return _readable()
    except (OSError, OverflowError):
        return None


def _readable() -> int:
    reader, writer = os.pipe()
    os.close(writer)
    return reader
