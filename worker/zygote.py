"""The zygote: a process that has imported IPython and waits to be forked into workers.

The supervisor forks it before it has a thread, a socket or anything else that must not be in two
processes, and imports zmq while the zygote imports IPython. A worker is then a fork away, also
after a crash, and shares its pages with the zygote.

It does what it is asked, one order at a time: start a worker, or reap one. It never decides. When
the supervisor is gone, however it went, it ends every worker's process group and then itself
(G32); it lives in a process group of its own so that a signal to the supervisor's group leaves it
time for that.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .options import Descriptors

if TYPE_CHECKING:
    from .options import Options

ORDER = struct.Struct("<cqqqq")
"""What is written in both directions: what it is about, and four numbers."""
START, REAP = b"S", b"R"

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes

_PRELOADED = (
    "IPython.core.debugger",
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.interactiveshell",
    "IPython.core.logger",
    "IPython.core.magics",
    "IPython.core.oinspect",
    "IPython.core.profiledir",
    "IPython.extensions.storemagic",
    "hashlib",
    "sqlite3",
)
"""What every worker imports sooner or later: once here, and not again in each."""


def main(control: socket.socket, options: Options) -> None:
    """Serve orders from ``control`` until it is closed. Does not return."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    gc.disable()  # it would look through hundreds of modules several times, and find nothing
    import multiprocess.popen_fork  # noqa: PLC0415 - after the fork: the supervisor needs none of it

    from . import main as worker_main  # noqa: PLC0415

    for name in _PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # a worker's collector leaves these pages alone, and so they stay shared
    gc.enable()
    workers: dict[int, Any] = {}
    try:
        while True:
            data, fds, _, _ = socket.recv_fds(control, ORDER.size, len(Descriptors._fields))
            if not data:
                break
            for fd in fds:
                os.set_inheritable(fd, False)  # received descriptors are, unlike all others
            order, pid, *_ = ORDER.unpack(data)
            if order == START:
                try:
                    _start(control, multiprocess, worker_main, Descriptors(*fds), options, workers)
                except OSError as error:  # no more processes, memory or descriptors are to be had
                    control.sendall(ORDER.pack(START, -(error.errno or errno.EAGAIN), 0, 0, 0))
                finally:
                    for fd in fds:
                        os.close(fd)
            elif order == REAP:
                control.sendall(ORDER.pack(REAP, *_reap(workers.pop(pid))))
    except ConnectionError:
        pass  # the supervisor went while it was told something: an end like any other
    except Exception:  # noqa: BLE001 - the supervisor sees the end, and ends too; this says why
        traceback.print_exc()
    finally:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        os._exit(0)


def _start(
    control: socket.socket,
    multiprocess: Any,
    worker_main: Any,
    descriptors: Descriptors,
    options: Options,
    workers: dict[int, Any],
) -> None:
    process = multiprocess.get_context("fork").Process(
        target=_become_worker,
        args=(control, worker_main, descriptors, options, os.getpid()),
        name="bulkhead-worker",
    )
    process.start()
    pid = process.pid
    workers[pid] = process
    # The worker does the same; whoever comes first, a signal to its group finds it.
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    pidfd = os.pidfd_open(pid)
    socket.send_fds(control, [ORDER.pack(START, pid, 0, 0, 0)], [pidfd])
    os.close(pidfd)


def _reap(process: Any) -> tuple[int, int, int, int]:
    """Reap a worker; give its exit code, its peak of memory and its processor time.

    Bytes resident; microseconds of user and of system time, ended children included.
    """
    # Not process.join(): only wait4 tells how much memory this one child had.
    _, status, usage = os.wait4(process.pid, 0)
    exitcode = os.waitstatus_to_exitcode(status)
    process._popen.returncode = exitcode  # noqa: SLF001 - or close() takes it to be running
    process.close()
    times = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
    return exitcode, usage.ru_maxrss * _RSS_UNIT, *times


def _become_worker(
    control: socket.socket,
    worker_main: Any,
    descriptors: Descriptors,
    options: Options,
    parent: int,
) -> None:
    control.close()
    worker_main.run(descriptors, options, parent)
