"""IPython's history without its thread.

IPython saves history from a thread of its own. A worker keeps to one thread between cells (a
process with threads cannot be forked safely), so the same rows are written by the main thread when
it has nothing else to do.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from IPython.core import history

from . import forks
from .here import here


class _NeverStarted(history.HistorySavingThread):  # type: ignore[misc]
    """Stands where the base class starts its thread; it has no switch for that."""

    def start(self) -> None:
        """Start nothing."""


class WorkerHistoryManager(history.HistoryManager):  # type: ignore[misc]
    """A history manager that writes when it is told to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        thread_class = history.HistorySavingThread
        history.HistorySavingThread = _NeverStarted
        try:
            super().__init__(*args, **kwargs)
        finally:
            history.HistorySavingThread = thread_class
        self.save_thread = None
        self.using_thread = False
        self._storing = threading.Lock()
        forks.in_child(self._leave_to_parent)

    def store_inputs(self, line_num: int, source: str, source_raw: str | None = None) -> None:
        """Store a cell at its number: of two that began together, the second may come first."""
        here.source = source
        with self._storing:
            before = len(self.input_hist_parsed)
            super().store_inputs(line_num, source, source_raw)
            if len(self.input_hist_parsed) in (before, line_num + 1):
                return  # not to be stored, or in its place
            for lines in (self.input_hist_parsed, self.input_hist_raw):
                line = lines.pop()
                lines.extend([""] * (line_num + 1 - len(lines)))
                lines[line_num] = line

    @property
    def has_news(self) -> bool:
        """Whether there is something to write."""
        return bool(self.db_input_cache or self.db_output_cache)

    def _leave_to_parent(self) -> None:
        """Write nothing in a forked child: what waits is its parent's to write (G38)."""
        self.enabled = False
        self.db_input_cache.clear()
        self.db_output_cache.clear()

    def begin_again(self) -> None:
        """Connect with the database anew, in a process that has become the worker.

        A connection must not be used by two processes, one after the other either.
        """
        if self.enabled and str(self.hist_file) != ":memory:":
            with suppress(Exception):  # nothing is written then, and a cell need not fail for it
                self.db.close()
                self.init_db()

    def save(self) -> None:
        """Write what was entered since the last time."""
        if self.has_news:
            self.writeout_cache()
