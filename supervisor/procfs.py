"""What the operating system tells about one process; psutil where /proc does not.

Read here rather than by psutil, which takes 1.7 MB to be imported, and walks through all
processes of the machine to find one's children. Reading ``status`` takes some 30 microseconds.
``smaps_rollup``, which alone knows what is shared with others, walks the whole address space: about
10 ms for each gigabyte.
"""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

from ..shared.parking import PROCESS_NAME
from ..shared.tuples import NamedTuple

_PARKED = b"Name:\t" + PROCESS_NAME + b"\n"
_KIB = 1024
_TICKS = os.sysconf("SC_CLK_TCK")  # in a second
# Fields of /proc/PID/stat behind the name: "proc_pid_stat" in the manual, less three.
_STATE, _TIMES, _BEGAN = 0, slice(11, 15), 19


class Status(NamedTuple):
    """The memory of a process as it is counted anyway."""

    rss: int
    """Resident."""
    charged: int
    """Resident and not a file's: what the system cannot simply drop."""
    swap: int
    peak: int
    """The most that was resident since it began, or since somebody reset that."""
    threads: int
    is_parked: bool = False
    """It is a snapshot of a worker, which waits."""


class Shares(NamedTuple):
    """The memory of a process where a page of n processes counts as an nth of a page."""

    pss: int
    charged: int
    """... of what is not a file's."""
    private: int
    """What it shares with nobody."""


class Life(NamedTuple):
    """A process as one of those that have had its number."""

    began: float
    """When it began, in units of the system's own: another process has another number here."""
    cpu: float
    """Seconds of processor time, of children that have ended, too."""
    is_over: bool
    """It has ended, and waits for its parent to hear of it."""


def life(pid: int) -> Life:
    """Read which process this is. Raises ProcessLookupError if there is none."""
    if sys.platform != "linux":
        from . import portable  # noqa: PLC0415 - imports psutil

        return portable.life(pid)
    # The name may hold anything, but nothing behind it has a parenthesis.
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    cpu = sum(map(int, fields[_TIMES])) / _TICKS
    return Life(int(fields[_BEGAN]), cpu, fields[_STATE] in (b"Z", b"X"))


def descendants(pid: int) -> list[int]:
    """Find the children of a process, their children, and so on.

    Raises ProcessLookupError if there is no such process.
    """
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():  # another system
        from . import portable  # noqa: PLC0415 - as above

        return portable.descendants(pid)
    found: list[int] = []
    parents = [pid]
    while parents:
        parent = parents.pop()
        try:
            # Each thread has children of its own.
            threads = os.listdir(f"/proc/{parent}/task")  # noqa: PTH208 - names are enough
        except (FileNotFoundError, PermissionError):
            if parent == pid:
                raise ProcessLookupError(f"there is no process {pid}") from None
            continue
        for thread in threads:
            with suppress(ProcessLookupError):
                children = _read(f"/proc/{parent}/task/{thread}/children").split()
                parents += map(int, children)
                found += map(int, children)
    return found


def lift_limit(pid: int) -> None:
    """Let a process have as much memory as it may let itself have."""
    if sys.platform == "linux":
        with suppress(OSError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
            resource.prlimit(pid, resource.RLIMIT_DATA, (hard, hard))


def status(pid: int) -> Status:
    """Read the status of a process. Raises ProcessLookupError if there is none."""
    if sys.platform != "linux":
        from . import portable  # noqa: PLC0415 - as above

        return portable.status(pid)
    text = _read(f"/proc/{pid}/status")
    fields = _fields(text)
    kib = {name: _KIB * fields.get(name, 0) for name in _MEMORY}
    return Status(
        kib["VmRSS"],
        kib["RssAnon"] + kib["RssShmem"],
        kib["VmSwap"],
        kib["VmHWM"],
        fields.get("Threads", 0),
        is_parked=text.startswith(_PARKED),
    )


def shares(pid: int) -> Shares | None:
    """Read what part of shared memory is its own; None where the system does not tell.

    That it does not may also mean that the process is gone: ``status`` tells.
    """
    if sys.platform != "linux":
        return None
    try:
        fields = _fields(_read(f"/proc/{pid}/smaps_rollup"))
    except OSError:  # not ours to read, or an old system, or gone
        return None
    if "Pss" not in fields:
        return None
    charged = fields.get("Pss_Anon", fields["Pss"]) + fields.get("Pss_Shmem", 0)
    private = fields.get("Private_Clean", 0) + fields.get("Private_Dirty", 0)
    return Shares(_KIB * fields["Pss"], _KIB * charged, _KIB * private)


_MEMORY = ("VmRSS", "RssAnon", "RssShmem", "VmSwap", "VmHWM")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, PermissionError) as error:  # gone, or hidden: another user's
        raise ProcessLookupError(str(error)) from None


def _fields(text: bytes) -> dict[str, int]:
    """Read lines of a name and a number; all others are left out."""
    fields = {}
    for line in text.split(b"\n"):
        name, _, rest = line.partition(b":")
        number = rest.split(None, 1)[:1]
        if number and number[0].isdigit():
            fields[name.decode("ascii", "replace")] = int(number[0])
    return fields
