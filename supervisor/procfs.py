"""What the operating system tells about one process, in bytes; psutil where there is no /proc.

Reading ``status`` takes some 30 microseconds. ``smaps_rollup``, which alone knows what is shared
with others, walks the whole address space: about 10 ms for each gigabyte.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..shared.parking import PROCESS_NAME
from ..shared.tuples import NamedTuple

_PARKED = b"Name:\t" + PROCESS_NAME + b"\n"
_KIB = 1024


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


def status(pid: int) -> Status:
    """Read the status of a process. Raises ProcessLookupError if there is none."""
    if sys.platform != "linux":
        return _portable(pid)
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

    Raises ProcessLookupError if there is no such process.
    """
    if sys.platform != "linux":
        return None
    try:
        fields = _fields(_read(f"/proc/{pid}/smaps_rollup"))
    except OSError:  # not ours to read, or an old system
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
    except FileNotFoundError as error:
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


def _portable(pid: int) -> Status:
    import psutil  # noqa: PLC0415 - slow to import, and seldom needed

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            rss = process.memory_info().rss
            return Status(rss, rss, 0, rss, process.num_threads())
    except psutil.Error as error:
        raise ProcessLookupError(str(error)) from None
