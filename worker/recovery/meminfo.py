"""How much memory there is to be had: the machine's, or the container's if that has less."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

from .budget import Memory

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


def read(limit: int) -> Memory:
    """Read it; ``limit`` is that of the kernel, in bytes."""
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
    statm = Path("/proc/self/statm").read_text(encoding="ascii")
    return Memory(int(statm.split()[1]) * _PAGE, available, total, limit)
