"""What is put right about children: those of the dead worker are not a woken snapshot's.

Asking the system for them would tell that there is no such child, which Python takes for 'ended
well'. What waits for them, or for a thread that waits for them, gets an error instead.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...shared.tuples import NamedTuple
from .children import children_of
from .sharing import LOKY, MULTIPROCESSING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tally import Tally

_KILLED = -9
_GONE = "the interpreter died and was restored; the processes of this pool did not survive that"


class Past(NamedTuple):
    """The worker, as it was when the snapshot was made."""

    pid: int
    group: int
    """Its group of processes, which ends with it."""
    ended: dict[int, int]
    """Its children that had ended and had not been waited for, with their exit codes."""


class Orphan(subprocess.Popen[Any]):
    """A child of the dead worker's that lives on. How it ends, its new parent will learn."""

    def _internal_poll(self, _deadstate: int | None = None, *_: Any) -> int | None:
        if self.returncode is None and not _lives(self.pid):
            if _deadstate is None:
                raise _nobody_knows(self.pid)
            self.returncode = _deadstate
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is not None:
            return int(self.returncode)
        with suppress(ProcessLookupError):
            fd = os.pidfd_open(self.pid)
            try:
                if not select.select([fd], [], [], timeout)[0]:
                    assert timeout is not None
                    raise subprocess.TimeoutExpired(self.args, timeout)
            finally:
                os.close(fd)
        raise _nobody_knows(self.pid)


def _nobody_knows(pid: int) -> ChildProcessError:
    return ChildProcessError(
        f"process {pid} has ended, and nobody knows how: it was not this interpreter's child, "
        "which was restored after its predecessor had died"
    )


def zombies() -> dict[int, int]:
    """Give this process's children that have ended and were not waited for, with exit codes."""
    found = {}
    for pid in children_of("self"):
        with suppress(ChildProcessError):
            # Looks, and leaves it to whoever waits for it.
            what = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if what is not None:
                exited = what.si_code == os.CLD_EXITED
                found[pid] = what.si_status if exited else -what.si_status
    return found


def remedies(past: Past) -> list[tuple[str, str, Callable[[Any, Tally], None]]]:
    """Give what is done about each type: its module, its name, the remedy."""
    process = partial(_process, past)
    found: list[tuple[str, str, Callable[[Any, Tally], None]]] = [
        ("subprocess", "Popen", partial(_popen, past)),
        ("asyncio.unix_events", "_UnixSubprocessTransport", partial(_transport, past)),
        ("concurrent.futures.process", "ProcessPoolExecutor", _process_pool),
        *((f"{name}.process_executor", "ProcessPoolExecutor", _process_pool) for name in LOKY),
    ]
    for name in MULTIPROCESSING:
        found += [(f"{name}.process", "BaseProcess", process), (f"{name}.pool", "Pool", _pool)]
    return found


def _popen(past: Past, process: Any, tally: Tally) -> None:
    """Say how a child ended that was the dead worker's."""
    if process.returncode is not None or process.pid is None:
        return
    if process.pid in past.ended:
        process.returncode = past.ended[process.pid]
    elif _lives(process.pid) and _group(process.pid) != past.group:
        tally.alone.append(process.pid)
        if type(process) is subprocess.Popen:
            process.__class__ = Orphan
    else:
        tally.add("child process", "child processes")
        process.returncode = _KILLED


def _process(past: Past, process: Any, tally: Tally) -> None:
    if process._parent_pid != past.pid:  # noqa: SLF001 - nobody else can, here and below
        return
    process._parent_pid = os.getpid()  # noqa: SLF001
    inner = process._popen  # noqa: SLF001
    if inner is not None and inner.returncode is None:
        inner.returncode = past.ended.get(inner.pid, _KILLED)
        if inner.pid not in past.ended:
            tally.add("child process", "child processes")


def _transport(past: Past, transport: Any, tally: Tally) -> None:
    """End a child of asyncio's: nobody watches it any more."""
    if transport._returncode is None and transport._pid is not None:  # noqa: SLF001
        code = None
        if transport._proc is not None:  # noqa: SLF001
            _popen(past, transport._proc, tally)  # noqa: SLF001
            code = transport._proc.returncode  # noqa: SLF001
        transport._process_exited(_KILLED if code is None else code)  # noqa: SLF001


def _process_pool(pool: Any, tally: Tally) -> None:
    """Break a pool whose processes were the dead worker's: it would wait for them."""
    if not pool._processes:  # noqa: SLF001
        return
    tally.add("process pool")
    broken = sys.modules["concurrent.futures.process"].BrokenProcessPool
    if getattr(pool, "_flags", None) is not None:  # loky's
        pool._flags.flag_as_broken(broken(_GONE))  # noqa: SLF001
    else:
        pool._broken = _GONE  # noqa: SLF001
    # It leads nowhere, and would be written to at exit.
    with suppress(AttributeError, OSError):
        pool._executor_manager_thread_wakeup.close()  # noqa: SLF001
    manager = pool._executor_manager_thread  # noqa: SLF001
    if manager is not None:
        tally.back(manager.name)
        module = sys.modules.get(type(manager).__module__)
        wakeups = getattr(module, "_threads_wakeups", {})
        with suppress(KeyError):
            del wakeups[manager]  # at exit it would be joined, and its pipe written to
    pool._executor_manager_thread = None  # noqa: SLF001
    pool._processes = {}  # noqa: SLF001
    for item in list(pool._pending_work_items.values()):  # noqa: SLF001
        with suppress(Exception):
            item.future.set_exception(broken(_GONE))
    pool._pending_work_items.clear()  # noqa: SLF001


def _pool(pool: Any, tally: Tally) -> None:
    """End a pool: its threads and processes are gone. Whoever waits for a result gets an error."""
    if pool._state != "RUN":  # noqa: SLF001
        return
    of_threads = not hasattr(pool._pool[0], "_popen") if pool._pool else False  # noqa: SLF001
    tally.add("thread pool" if of_threads else "process pool")
    pool._state = "TERMINATE"  # noqa: SLF001 - apply() and the like raise, and do not wait
    for name in ("_worker_handler", "_task_handler", "_result_handler"):
        tally.back(getattr(pool, name).name)
    if of_threads:
        tally.back(*(worker._name for worker in pool._pool))  # noqa: SLF001
    with suppress(AttributeError):
        pool._terminate.cancel()  # noqa: SLF001 - the finalizer would join threads and processes
    for result in list(pool._cache.values()):  # noqa: SLF001
        with suppress(Exception):
            result._set(getattr(result, "_index", 0), (False, RuntimeError(_GONE)))  # noqa: SLF001


def _lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and is not waited for does not."""
    return _stat(pid)[0] not in "ZX"


def _group(pid: int) -> int:
    return int(_stat(pid)[2])


def _stat(pid: int) -> list[str]:
    """Read the state of a process, its parent, its group and more; that of a dead one if none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ["X", "0", "0"]
    return text.rpartition(")")[2].split()
