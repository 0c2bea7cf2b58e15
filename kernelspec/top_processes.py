"""The processes behind connection files, and what the system knows of them.

A kernel lives if a process of this user has its connection file on its command line and listens on
its shell port. The command line alone would not do: an editor or a console that was given the file
has it too. With the transport ipc there is no port, and the first such process counts.

An object of this module keeps the processes that it has found, and belongs to one thread at a time.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from .spec import MODULE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .top_files import ConnectionFile


@dataclass(frozen=True)
class Figures:
    """What a process and its descendants use at one moment."""

    taken: float
    """When, in seconds by a clock of which only differences mean something."""
    cpu_seconds: dict[int, float]
    """The time on CPUs that each of the processes has had so far, by pid."""
    memory: int
    """Bytes that are resident; what processes share is counted for each of them."""
    threads: int
    """Of the process itself."""
    uptime: float
    """Seconds since the process itself started."""


def cpu_percent(before: Figures | None, now: Figures) -> float | None:
    """Give the percentage of one CPU that was used between two moments. Pure.

    A process that ended in between is not counted, and one that started is from its start.
    """
    if before is None or now.taken <= before.taken:
        return None
    used = sum(
        max(0.0, seconds - before.cpu_seconds.get(pid, 0.0))
        for pid, seconds in now.cpu_seconds.items()
    )
    return 100 * used / (now.taken - before.taken)


class Processes:
    """The processes of the kernels that were found so far."""

    def __init__(self) -> None:
        self._known: dict[Path, psutil.Process] = {}

    def find(self, files: Sequence[ConnectionFile]) -> dict[Path, psutil.Process]:
        """Give the process of each kernel that lives, by the path of its connection file."""
        known = {
            file.path: self._known[file.path]
            for file in files
            if file.path in self._known and lives(self._known[file.path])
        }
        unknown = [file for file in files if file.path not in known]
        self._known = known | (_search(unknown) if unknown else {})
        return dict(self._known)


def lives(process: psutil.Process) -> bool:
    """Tell if a process that was found has not ended since."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _search(files: Iterable[ConnectionFile]) -> dict[Path, psutil.Process]:
    by_text = {str(file.path): file for file in files}
    found: dict[Path, dict[int, psutil.Process]] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.uids().real != os.getuid():
                continue
            for argument in process.cmdline():
                # -f FILE, or --f=FILE
                file = by_text.get(argument) or by_text.get(argument.partition("=")[2])
                if file and _listens(process, file):
                    found.setdefault(file.path, {})[process.pid] = process
    return {path: _eldest(processes) for path, processes in found.items()}


def _eldest(processes: dict[int, psutil.Process]) -> psutil.Process:
    """Give the kernel among its forks, which have its command line and its sockets."""
    for process in processes.values():
        with suppress(psutil.Error):
            if process.ppid() not in processes:
                return process
    return next(iter(processes.values()))


def _listens(process: psutil.Process, file: ConnectionFile) -> bool:
    if file.transport != "tcp":
        return True
    return any(
        each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == file.shell_port
        for each in process.net_connections("tcp")
    )


def is_ours(process: psutil.Process) -> bool:
    """Tell if a kernel's process is a supervisor of Bulkhead's."""
    return _has_argument(process, (MODULE,))


def is_ipykernel(process: psutil.Process) -> bool:
    """Tell if a kernel's process is one of ipykernel's, to which SIGINT is an interrupt."""
    return _has_argument(process, ("ipykernel", "ipykernel_launcher"))


def _has_argument(process: psutil.Process, wanted: tuple[str, ...]) -> bool:
    try:
        return any(argument in wanted for argument in process.cmdline())
    except psutil.Error:
        return False


def measure(process: psutil.Process) -> Figures | None:
    """Measure a process with its descendants; None if it is gone."""
    try:
        with process.oneshot():
            threads, uptime = process.num_threads(), time.time() - process.create_time()
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return None
    seconds, memory = {}, 0
    for each in family:
        with suppress(psutil.Error), each.oneshot():
            times = each.cpu_times()
            seconds[each.pid] = times.user + times.system
            memory += each.memory_info().rss
    if process.pid not in seconds:
        return None
    return Figures(time.monotonic(), seconds, memory, threads, max(0.0, uptime))
