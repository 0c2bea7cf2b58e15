"""Evidence that memory ran out: the operating system's own count of processes that it killed.

SIGKILL alone proves nothing; anybody can send it. The control group (v2 or v1) counts the kills
for want of memory within its limit, and the system those for want of memory at all.
"""

from __future__ import annotations

from pathlib import Path

from ..shared.tuples import NamedTuple


class Kills(NamedTuple):
    """How often the system has killed for want of memory; -1 where it does not tell."""

    group: int
    system: int


def read() -> Kills:
    """Read the counts as they are now."""
    return Kills(_group(), _count(Path("/proc/vmstat"), "oom_kill"))


def evidence(before: Kills, after: Kills) -> str:
    """Say what happened between two readings; '' if nothing did."""
    if after.group > before.group >= 0:
        return "its control group reached its memory limit."
    if after.system > before.system >= 0:
        return "the system had no memory left."
    return ""


def _group() -> int:
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            file = Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            file = Path("/sys/fs/cgroup/memory") / path.lstrip("/") / "memory.oom_control"
        else:
            continue
        if (count := _count(file, "oom_kill")) >= 0:
            return count
    return -1


def _count(file: Path, name: str) -> int:
    for line in _lines(file):
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return -1


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
