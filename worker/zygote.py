"""The zygote: a process that has imported IPython and waits to be forked into workers.

The supervisor forks it before it has a thread, a socket or anything else that must not be in two
processes, and imports zmq while the zygote imports IPython. A worker is then a fork away, also
after a crash, and shares its pages with the zygote.

It does what it is asked, one order at a time: start a worker, reap one, or take one for its own
that began as a snapshot of another. It never decides. What a worker leaves behind becomes its child
(it is a subreaper), so that a snapshot that becomes a worker can be reaped like any other. When
the supervisor is gone, however it went, it ends every worker's process group and then itself
(G32); it lives in a process group of its own so that a signal to the supervisor's group leaves it
time for that.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import select
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
START, REAP, ADOPT = b"S", b"R", b"A"

_PR_SET_CHILD_SUBREAPER = 36
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
    "encodings.ascii",
    "hashlib",
    "sqlite3",
    "tempfile",
    "unicodedata",
)
"""What every worker imports sooner or later: once here, and not again in each."""


def main(control: socket.socket, options: Options) -> None:
    """Serve orders from ``control`` until it is closed. Does not return."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _adopt_orphans()
    _import_multiprocess()
    from . import main as worker_main  # noqa: PLC0415 - after the fork: only workers need it

    for name in _PRELOADED:
        importlib.import_module(name)
    worker_main.warm_up()
    gc.freeze()  # a worker's collector leaves these pages alone, and so they stay shared
    gc.enable()
    workers: dict[int, Any] = {}
    try:
        _serve(control, worker_main, options, workers)
    except ConnectionError:
        pass  # the supervisor went while it was told something: an end like any other
    except Exception:  # noqa: BLE001 - the supervisor sees the end, and ends too; this says why
        traceback.print_exc()
    finally:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        os._exit(0)


def _import_multiprocess() -> None:
    """Import it without dill, which takes longer than all the rest of it.

    It goes without, and pickles nothing here: its processes are forked. The user's own is another
    one (see ``forget_multiprocess``), and has dill.
    """
    sys.modules["dill"] = None  # type: ignore[assignment]  # importing it fails
    try:
        import multiprocess.popen_fork  # noqa: F401, PLC0415 - after the fork, again
    finally:
        del sys.modules["dill"]


def _serve(
    control: socket.socket, worker_main: Any, options: Options, workers: dict[int, Any]
) -> None:
    ended, writer = _ends_of_children()
    ours = control.fileno(), ended, writer
    while True:
        ready: list[int] = select.select([control.fileno(), ended], [], [])[0]
        if control.fileno() not in ready:
            # Only when no order waits: one may say whose end is not to be reaped here.
            os.read(ended, 4096)
            _reap_others(workers)
            continue
        data, fds, _, _ = socket.recv_fds(control, ORDER.size, len(Descriptors._fields))
        if not data:
            return
        for fd in fds:
            os.set_inheritable(fd, False)  # received descriptors are, unlike all others
        order, pid, *_ = ORDER.unpack(data)
        if order == START:
            try:
                _start(control, ours, worker_main, Descriptors(*fds), options, workers)
            except OSError as error:  # no more processes, memory or descriptors are to be had
                control.sendall(ORDER.pack(START, -(error.errno or errno.EAGAIN), 0, 0, 0))
            finally:
                for fd in fds:
                    os.close(fd)
        elif order == ADOPT:
            workers[pid] = None
        elif order == REAP:
            control.sendall(ORDER.pack(REAP, *_reap(pid, workers.pop(pid))))


def _start(
    control: socket.socket,
    ours: tuple[int, ...],
    worker_main: Any,
    descriptors: Descriptors,
    options: Options,
    workers: dict[int, Any],
) -> None:
    from multiprocess import get_context  # noqa: PLC0415 - as in ``main``

    process = get_context("fork").Process(
        target=_become_worker,
        args=(ours, worker_main, descriptors, options, os.getpid()),
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


def _adopt_orphans() -> None:
    """Become the parent of what a worker leaves behind (Linux)."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - the supervisor imports this module, and needs none of it

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _ends_of_children() -> tuple[int, int]:
    """Give a descriptor that is readable when a child has ended, and its other end."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader, writer


def _reap_others(workers: dict[int, Any]) -> None:
    """Reap what workers have left behind: nobody will ask how it ended."""
    for pid in _children() - set(workers):
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _children() -> set[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return set(map(int, file.read().split()))
    except OSError:
        return set()


def _reap(pid: int, process: Any) -> tuple[int, int, int, int]:
    """Reap a worker; give its exit code, its peak of memory and its processor time.

    Bytes resident; microseconds of user and of system time, ended children included.
    """
    # Not process.join(): only wait4 tells how much memory this one child had.
    try:
        _, status, usage = os.wait4(pid, 0)
    except ChildProcessError:  # it said that it was a snapshot, and is none
        return -signal.SIGKILL, 0, 0, 0
    exitcode = os.waitstatus_to_exitcode(status)
    if process is not None:
        process._popen.returncode = exitcode  # noqa: SLF001 - or close() takes it to be running
        process.close()
    times = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
    return exitcode, usage.ru_maxrss * _RSS_UNIT, *times


def _become_worker(
    ours: tuple[int, ...],
    worker_main: Any,
    descriptors: Descriptors,
    options: Options,
    parent: int,
) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for fd in ours:
        os.close(fd)
    worker_main.run(descriptors, options, parent)
