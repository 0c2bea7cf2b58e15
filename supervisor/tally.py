"""What has happened in a kernel's life so far, counted. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..shared.ledger import Slot
from .lifecycle import State
from .usage import Status

if TYPE_CHECKING:
    from .lifecycle import Lifecycle
    from .recovery_words import Standing
    from .worker_process import WorkerProcess


class Tally:
    """Deaths by the name that they were told by, and cells by their outcome."""

    def __init__(self) -> None:
        self._deaths: Counter[str] = Counter()
        self._ok = self._failed = self._aborted = 0
        self._latency = self._interrupts = 0

    def bury(self, process: WorkerProcess) -> None:
        """Take over what a worker has counted."""
        ledger = process.worker.ledger
        self._ok += ledger[Slot.OK]
        self._failed += ledger[Slot.FAILED] + bool(ledger[Slot.CELL])
        self._latency += ledger[Slot.LATENCY]
        self._interrupts += ledger[Slot.HANDLED]

    def told(self, ename: str) -> None:
        """Count a death that nobody had asked for."""
        self._deaths[ename] += 1

    def aborted(self) -> None:
        """Count a cell that was not run because one before it failed."""
        self._aborted += 1

    def status(
        self, life: Lifecycle, process: WorkerProcess | None, recovery: Standing | None
    ) -> Status:
        """Sum up, with what the present worker has counted so far."""
        ok, failed, latency, interrupts = self._ok, self._failed, self._latency, self._interrupts
        if process is not None:
            ledger = process.worker.ledger
            ok += ledger[Slot.OK]
            failed += ledger[Slot.FAILED]
            latency += ledger[Slot.LATENCY]
            interrupts += ledger[Slot.HANDLED]
        return Status(
            state=_state(life, process),
            generation=life.generation,
            worker=process.worker if process is not None else None,
            deaths=dict(self._deaths),
            ok=ok,
            failed=failed,
            aborted=self._aborted,
            interrupts=interrupts,
            latency=latency / 1e6,
            recovery=recovery,
        )


def _state(life: Lifecycle, process: WorkerProcess | None) -> str:
    if life.stopping:
        return "stopping"
    if life.restarting:
        return "restarting"
    if life.state is State.BROKEN:
        return "broken"
    if life.state is State.STARTING:
        return "starting"
    if process is None or process.is_dead():
        return "none"
    return "busy" if process.running() else "idle"
