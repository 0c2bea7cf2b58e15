"""What a kernel that does nothing takes: memory, and a processor that wakes up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import tree
from ..client import cell
from .row import Measure, Row

if TYPE_CHECKING:
    from ..trial import Trial


def _memory(trial: Trial) -> dict[str, float]:
    live = trial.start()
    live.client.request("execute_request", cell("1+1"))
    tree.settle(live.pid)
    start = tree.memory(live.pid)
    found = {"memory.pss": start.pss, "memory.uss": start.uss}
    if trial.kernel.runs_code:
        live.client.execute("import numpy")
        tree.settle(live.pid)
        numpy = tree.memory(live.pid)
        found |= {"memory.numpy.pss": numpy.pss, "memory.numpy.uss": numpy.uss}
    return {key: float(value) for key, value in found.items()}


def _idle(trial: Trial) -> dict[str, float]:
    live = trial.start()
    live.client.request("execute_request", cell("1+1"))
    tree.settle(live.pid)
    seconds = trial.some(5, 2)
    woken, used = tree.wake_ups(live.pid), tree.cpu(live.pid)
    time.sleep(seconds)
    return {
        "idle.wake_ups": (tree.wake_ups(live.pid) - woken) / seconds,
        "idle.cpu": (tree.cpu(live.pid) - used) / seconds,
    }


ROWS = (
    Row(
        "memory",
        "Footprint",
        _memory,
        (
            Measure("memory.pss", "PSS after start and `1+1`", "B"),
            Measure("memory.uss", "USS after start and `1+1`", "B"),
            Measure("memory.numpy.pss", "PSS after `import numpy`", "B"),
            Measure("memory.numpy.uss", "USS after `import numpy`", "B"),
        ),
        runs_code=False,
        rounds=3,
    ),
    Row(
        "idle",
        "Footprint",
        _idle,
        (
            Measure("idle.wake_ups", "idle: wake-ups of all threads", "wake-ups/s"),
            Measure("idle.cpu", "idle: CPU in a second", "s"),
        ),
        runs_code=False,
        rounds=3,
    ),
)
