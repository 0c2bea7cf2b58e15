"""The Monitor thread: what the worker uses, told to whoever asks and held against the limits.

It sleeps until somebody asks, or until Shell tells of a request that takes long. While that runs,
it takes samples, closely at first and ever farther apart, so that a curve has its hundred points
whatever the duration. Nobody waits for it, and it never waits for the worker: everything is read
from outside, so a worker whose C code holds the GIL is told of like any other.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

import zmq

from ..shared import meminfo
from ..shared.ledger import Slot
from ..shared.samples import Sample
from . import bounds, events, usage
from .family import Family

if TYPE_CHECKING:
    from ..shared.limits import Limits
    from ..shared.samples import Writer
    from .events import Worker
    from .family import Use
    from .inboxes import Inboxes

log = logging.getLogger(__name__)

_CLOSEST, _FARTHEST = 0.01, 1.0  # seconds from one sample to the next
_FARTHEST_WITH_LIMIT = 0.1
_COST = 20.0  # times its own duration: what a sample is followed by
_SPAN = 0.5  # seconds over which processor use is told, at least
_POINTS = 256
_WORTH = 1 << 26  # bytes that are worth to let a snapshot go
_SPARE_PART, _SPARE = 0.05, 1 << 29
"""The part of the machine's memory, and the bytes, with less of which snapshots have to go."""


class _Watch:
    """One request that takes long."""

    def __init__(self, event: events.Watch, limits: Limits, patience: float) -> None:
        self.worker = event.worker
        self.number = event.number
        self.began = event.began
        ledger = event.worker.ledger
        before = ledger[Slot.CELL_MEMORY] if ledger[Slot.CELL] == event.number else 0
        self.bounds = bounds.Bounds(limits, patience, before)
        self.cpu: float | None = None  # of the family, when it was first looked at
        self.due = 0.0
        self.peak = 0
        self.is_short = False  # of memory, when it was last looked at, and a snapshot has some


class Monitor:
    """Everything that the thread needs; ``run`` is its life."""

    def __init__(
        self,
        inboxes: Inboxes,
        samples: Writer,
        limits: Limits,
        patience: float,
        zygote: int,
        metrics: str | None = None,
    ) -> None:
        """Take the parts, the seconds of ``Bounds``, the process id of the zygote, an address."""
        self._inbox = inboxes.monitor
        self._to_control = inboxes.control
        self._samples = samples
        self._limits = limits
        self._patience = patience
        self._zygote = zygote
        self._metrics = metrics
        self._began = time.monotonic()
        self._finished = False
        self._watch: _Watch | None = None
        self._family: Family | None = None  # of the worker that was looked at last
        self._generation = 0  # ... which is this one
        self._ours: list[Family] = []  # the supervisor and the zygote
        self._points: deque[tuple[float, float]] = deque(maxlen=_POINTS)  # time, processor time
        self._poller = zmq.Poller()
        self._poller.register(inboxes.monitor.fileno(), zmq.POLLIN)

    def run(self) -> None:
        """Serve until the kernel is finished."""
        while not self._finished:
            self._poller.poll(self._wait())
            self._hear()
            if self._watch is not None and time.monotonic() >= self._watch.due:
                try:
                    self._sample(self._watch)
                except Exception:
                    # What cannot be read here must not be what ends the kernel.
                    log.exception("the running cell is not watched any more")
                    self._watch = None

    def _hear(self) -> None:
        for event in self._inbox.drain():
            match event:
                case events.Watch():
                    self._watch = _Watch(event, self._limits, self._patience)
                case events.Asked():
                    self._answer(event)
                case events.Closed():
                    self._finished = True

    def _wait(self) -> int | None:
        """Give the milliseconds to the next sample."""
        if self._watch is None:
            return None
        return int(max(0.0, self._watch.due - time.monotonic()) * 1000) + 1

    # While something runs.

    def _sample(self, watch: _Watch) -> None:
        before = time.monotonic()
        worker, limit = watch.worker, self._limits.memory
        use = self._look(worker)
        over = worker.ledger.running() != watch.number
        if use is not None and limit and use.charged > limit and not over:
            use = self._look(worker, afresh=True)  # before anybody is told that it is too much
        if use is not None and use.parked and not over and self._would_help(use):
            # What the worker has let go of may be in its snapshot still. Looked at twice: a cell
            # that grows fast is not helped by that, and needs its snapshot the more.
            if watch.is_short:
                self._to_control.put(events.MemoryShort())
            watch.is_short = True
            watch.due = before + _CLOSEST
            return
        watch.is_short = False
        if use is None:
            self._watch = None
            return
        number = 0 if over else watch.number
        self._samples.append(Sample(time.time(), use.together, use.cpu, number, worker.generation))
        if over:
            self._watch = None
            return
        self._note_peak(watch, use)
        if limit:
            assert self._family is not None
            self._family.lift_limit()
        watch.cpu = use.cpu if watch.cpu is None else watch.cpu
        now = time.monotonic()
        reading = bounds.Reading(now - watch.began, use.cpu - watch.cpu, use.charged)
        if (verdict := watch.bounds.check(reading)) is not None:
            self._to_control.put(events.Overrun(worker.generation, watch.number, verdict))
        farthest, cost = (_FARTHEST_WITH_LIMIT, 2.0) if limit else (_FARTHEST, _COST)
        interval = min(max(_CLOSEST, (now - watch.began) / 100), farthest)
        watch.due = now + max(interval, cost * (now - before))

    def _would_help(self, use: Use) -> bool:
        """Tell whether snapshots have to go so that the cell can have their memory.

        Not if that is not enough: the cell may cost the interpreter, and then they are needed.
        """
        limit = self._limits.memory
        if limit and use.charged > limit:
            return use.charged - use.snapshots <= limit
        return use.snapshots > _WORTH and meminfo.read().beyond(_SPARE_PART, _SPARE) < 0

    def _note_peak(self, watch: _Watch, use: Use) -> None:
        """Let the worker know what its children made of the peak: only from outside is it seen."""
        watch.peak = max(watch.peak, use.together if use.children else 0)
        ledger = watch.worker.ledger
        ledger[Slot.FAMILY_PEAK] = watch.peak
        ledger[Slot.FAMILY] = watch.number

    def _look(
        self, worker: Worker, *, hurry: bool = False, afresh: bool = False, snapshot: int = 0
    ) -> Use | None:
        if self._family is None or self._generation != worker.generation:
            self._family, self._generation = Family(worker.pid), worker.generation
            self._points.clear()
        if snapshot:
            self._family.add(snapshot)
        use = self._family.look(hurry=hurry, afresh=afresh)
        if use is not None:
            self._points.append((time.monotonic(), use.cpu + time.process_time()))
        return use

    # When somebody asks.

    def _answer(self, asked: events.Asked) -> None:
        try:
            content = usage.content(asked.status, self._readings(asked), self._limits.memory)
        except Exception:
            log.exception("what the kernel uses could not be read")
            return
        asked.answer(content)

    def _readings(self, asked: events.Asked) -> usage.Readings:
        import psutil  # noqa: PLC0415 - slow to import: only once somebody wants to know

        if not self._ours:
            self._ours = [Family(pid, alone=True) for pid in (os.getpid(), self._zygote)]
        worker = asked.status.worker
        use = None
        if worker is not None:
            standing = asked.status.recovery
            snapshot = standing.pid if standing is not None else 0
            use = self._look(worker, hurry=True, snapshot=snapshot)
        ours = [each for family in self._ours if (each := family.look(hurry=True)) is not None]
        worker_uptime = cell = None
        peak = 0
        if worker is not None and use is not None:
            ledger = worker.ledger
            worker_uptime = time.monotonic() - worker.began
            peak = max(use.peak, ledger[Slot.PEAK])
            if ledger[Slot.CELL]:
                began = ledger[Slot.CELL_BEGAN] / 1e9
                cell = usage.Cell(ledger[Slot.CELL_COUNT], max(0.0, time.time() - began))
        return usage.Readings(
            hostname=socket.gethostname(),
            pid=os.getpid(),
            cpu_percent=self._cpu_percent(),
            memory=sum(each.memory for each in (*ours, *([use] if use else []))),
            host_cpu_percent=psutil.cpu_percent(interval=None),
            cpu_count=psutil.cpu_count() or 1,
            host_virtual_memory=psutil.virtual_memory()._asdict(),
            uptime=time.monotonic() - self._began,
            worker_uptime=worker_uptime,
            use=use,
            peak=peak,
            cell=cell,
            metrics=self._metrics,
        )

    def _cpu_percent(self) -> float:
        """Give the processor use over the last while, in percent of one processor."""
        if not self._points:
            return 0.0
        now, cpu = self._points[-1]
        earlier = [point for point in self._points if now - point[0] >= _SPAN]
        then, cpu_then = earlier[-1] if earlier else self._points[0]
        return round(max(0.0, 100 * (cpu - cpu_then) / (now - then)), 1) if now > then else 0.0
