"""The content of a usage_reply: what jupyter-resource-usage reads, and what is ours. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..shared.tuples import NamedTuple
from ..shared.version import __version__

if TYPE_CHECKING:
    from .events import Worker
    from .family import Use
    from .recovery_words import Standing


class Status(NamedTuple):
    """What Control knows of the kernel at the moment of the question."""

    state: str
    """starting, idle, busy, none, broken, restarting or stopping."""
    generation: int
    worker: Worker | None
    deaths: dict[str, int] = {}  # noqa: RUF012 - never changed
    """How many workers have ended, by the name of the error that told it."""
    ok: int = 0
    failed: int = 0
    aborted: int = 0
    """Cells by outcome."""
    interrupts: int = 0
    """Interrupts that Python code has heard."""
    latency: float = 0.0
    """Seconds from sending to hearing them, added up."""
    recovery: Standing | None = None
    """What a crash would leave."""


class Cell(NamedTuple):
    """The running cell."""

    execution_count: int
    seconds: float


class Readings(NamedTuple):
    """What was read on this machine for the answer."""

    hostname: str
    pid: int
    cpu_percent: float
    memory: int
    """Bytes of the whole kernel, shared pages counted once."""
    host_cpu_percent: float
    cpu_count: int
    host_virtual_memory: dict[str, Any]
    uptime: float
    worker_uptime: float | None = None
    use: Use | None = None
    """Of the worker and its children."""
    peak: int = 0
    cell: Cell | None = None
    metrics: str | None = None
    """Where Prometheus finds this kernel."""


def content(status: Status, readings: Readings, limit: int) -> dict[str, Any]:
    """Give the content of the reply. Amounts are in bytes, times in seconds."""
    use, cell, worker = readings.use, readings.cell, status.worker
    return {
        "hostname": readings.hostname,
        "pid": readings.pid,
        "kernel_cpu": readings.cpu_percent,
        "kernel_memory": readings.memory,
        "host_cpu_percent": readings.host_cpu_percent,
        "cpu_count": readings.cpu_count,
        "host_virtual_memory": readings.host_virtual_memory,
        "bulkhead": {
            "version": __version__,
            "state": status.state,
            "generation": status.generation,
            "worker_pid": worker.pid if worker is not None else None,
            "uptime": readings.uptime,
            "worker_uptime": readings.worker_uptime,
            "threads": use.threads if use is not None else 0,
            "children": use.children if use is not None else 0,
            "memory": use.memory if use is not None else 0,
            "peak": readings.peak,
            "swap": use.swap if use is not None else 0,
            "limit": limit or None,
            "cell": cell and {"execution_count": cell.execution_count, "seconds": cell.seconds},
            "restarts": status.deaths,
            "cells": {"ok": status.ok, "error": status.failed, "aborted": status.aborted},
            "interrupts": {"heard": status.interrupts, "seconds": status.latency},
            "cpu": use.cpu if use is not None else 0.0,
            "resident": use.resident if use is not None else 0,
            "metrics": readings.metrics,
            "snapshots": use.snapshots if use is not None else 0,
            "recovery": status.recovery and status.recovery.as_json(),
        },
    }
