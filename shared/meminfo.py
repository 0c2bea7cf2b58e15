"""How much memory there is to be had: the machine's, or the container's if that has less."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

from .tuples import NamedTuple

_KIB = 1024
_PAGE = resource.getpagesize()
_CONTAINERS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
"""Limit and use, as a process in a container sees its own: version 2, version 1."""


class Memory(NamedTuple):
    """Bytes."""

    available: int
    """What can be had without taking it from others."""
    total: int

    def beyond(self, part: float, most: int) -> int:
        """Give what can be had beside what is to be left: a part of all, and so many bytes.

        On a small machine it is a quarter of all at most. Negative if less than that can be had.
        """
        return self.available - int(max(part * self.total, min(most, self.total // 4)))


def resident() -> int:
    """Give the bytes that this process has resident."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def read() -> Memory:
    """Read it (Linux). Takes some 50 microseconds."""
    fields = {}
    with Path("/proc/meminfo").open(encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            fields[name] = value
            if name == "MemAvailable":
                break
    total = _KIB * int(fields["MemTotal"].split()[0])
    available = _KIB * int(fields["MemAvailable"].split()[0])
    for most, used in _CONTAINERS:
        with suppress(OSError, ValueError):  # "max": no limit
            most_bytes = int(Path(most).read_text(encoding="ascii"))
            if most_bytes < total:
                total = most_bytes
                left = most_bytes - int(Path(used).read_text(encoding="ascii"))
                available = min(available, left)
    return Memory(available, total)


def private(pid: int) -> int:
    """Give the bytes that a process shares with no other; 0 if it is gone."""
    with suppress(OSError, ValueError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        lines = (line.partition(":") for line in text.splitlines())
        return sum(
            _KIB * int(value.split()[0]) for name, _, value in lines if name.startswith("Private_")
        )
    return 0
