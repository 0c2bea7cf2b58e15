"""What psutil tells about one process, for systems on which ``procfs`` finds no answer."""

from __future__ import annotations

import psutil

from . import procfs


def life(pid: int) -> procfs.Life:
    """Read which process this is. Raises ProcessLookupError if there is none."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return procfs.Life(
                process.create_time(),
                times.user + times.system + times.children_user + times.children_system,
                process.status() == psutil.STATUS_ZOMBIE,
            )
    except psutil.Error as error:
        raise ProcessLookupError(str(error)) from None


def descendants(pid: int) -> list[int]:
    """Find a process's children, theirs, and so on. Raises ProcessLookupError if it is none."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error as error:
        raise ProcessLookupError(str(error)) from None


def status(pid: int) -> procfs.Status:
    """Read the status of a process. Raises ProcessLookupError if there is none."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            rss = process.memory_info().rss
            return procfs.Status(rss, rss, 0, rss, process.num_threads())
    except psutil.Error as error:
        raise ProcessLookupError(str(error)) from None
