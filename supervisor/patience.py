"""What is done to a worker after a while, if it is there still: asked to end, and then made to."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .timers import Timers
    from .worker_process import WorkerProcess


class Patience:
    """The patience that Control has with its workers. A worker is named by its generation."""

    def __init__(self, timers: Timers, present: Callable[[], WorkerProcess | None]) -> None:
        """Take the timers, and a function that gives the worker of the moment."""
        self._timers = timers
        self._present = present

    def end_after(self, seconds: float, generation: int, ename: str, why: str) -> None:
        """End a worker after a while, unless it has ended by then; its death is told like this."""

        def end() -> None:
            if (process := self._find(generation)) is not None:
                process.end(ename, why)

        self._timers.after(seconds, end)

    def insist(self, generation: int, seconds: float, term: float) -> None:
        """End a worker that does not end by itself in a while, and so many seconds more."""

        def signal_it(signum: int) -> None:
            if (process := self._find(generation)) is not None:
                process.signal(signum)

        self._timers.after(seconds, lambda: signal_it(signal.SIGTERM))
        self._timers.after(seconds + term, lambda: signal_it(signal.SIGKILL))

    def _find(self, generation: int) -> WorkerProcess | None:
        process = self._present()  # which is reaped only after Control has let go of it
        same = process is not None and process.worker.generation == generation
        return process if same else None
