"""Measure: go through the schedule, and note what comes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from . import report
from .failures import FailedError
from .kernels import Kernel, named
from .machine import about
from .process import forbid_core_files
from .results import Results
from .rows import ROWS, Row
from .schedule import schedule
from .trial import Trial
from .units import figure

if TYPE_CHECKING:
    import argparse

_HOPELESS = 2  # failures without any figure, after which a kernel is spared a row


def run(options: argparse.Namespace) -> None:
    """Measure what is asked for; tell of each trial on stderr; write the reports."""
    rows = _chosen(options.rows)
    kernels = [named(text) for text in options.kernels]
    forbid_core_files()
    results = Results(
        about(kernels, options.rounds, quick=options.quick), [kernel.name for kernel in kernels]
    )
    # Also in a shell's background, which ignores SIGINT; and a kernel must not be left running.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="benchmarks-") as folder,
        contextlib.suppress(KeyboardInterrupt),  # what was measured so far is not thrown away
    ):
        Runner(results, Path(folder), quick=options.quick).all(rows, kernels, options.rounds)
    report.write(results, options)


def _chosen(names: list[str] | None) -> list[Row]:
    known = {row.name: row for row in ROWS}
    unknown = set(names or ()) - set(known)
    if unknown:
        raise SystemExit(f"benchmarks: the rows are {' '.join(known)}")
    return [row for row in ROWS if not names or row.name in names]


class Runner:
    """Run trials, and keep what they give."""

    def __init__(self, results: Results, folder: Path, *, quick: bool) -> None:
        self._results = results
        self._folder = folder
        self._quick = quick
        self._context = zmq.Context()
        self._failed: Counter[tuple[str, str]] = Counter()
        self._worked: set[tuple[str, str]] = set()

    def all(self, rows: list[Row], kernels: list[Kernel], rounds: int) -> None:
        """Warm up, and run all trials."""
        for kernel in kernels:
            (self._folder / kernel.name).mkdir()
            self._try(ROWS[0], kernel)  # files that are read for the first time, and compiled
        trials = schedule([(row, row.rounds) for row in rows], kernels, rounds)
        loads = self._results.about.setdefault("loads", [])
        for number, row, kernel in trials:
            loads.append(os.getloadavg()[0])  # of others, too: how far to trust the figures
            if row.runs_code and not kernel.runs_code:
                continue
            pair = row.name, kernel.name
            if self._failed[pair] >= _HOPELESS and pair not in self._worked:
                continue
            values, troubles = self._try(row, kernel)
            self._note(row, kernel, values, troubles)
            told = [figure(values[m.key], m.unit) for m in row.measures if m.key in values]
            line = f"{number + 1}/{rounds} {row.name:>16} {kernel.name:>10}"
            print(line, *told, *troubles, sep="  ", file=sys.stderr, flush=True)
        self._context.term()

    def _try(self, row: Row, kernel: Kernel) -> tuple[dict[str, float], list[str]]:
        trial = Trial(kernel, self._context, self._folder / kernel.name, quick=self._quick)
        try:
            return row.trial(trial), trial.remarks
        except FailedError as error:
            return {}, [*trial.remarks, str(error)]
        except (ValueError, KeyError, TypeError) as error:  # of a message that makes no sense
            return {}, [*trial.remarks, f"a strange message ({type(error).__name__})"]
        finally:
            trial.close()

    def _note(
        self, row: Row, kernel: Kernel, values: dict[str, float], troubles: list[str]
    ) -> None:
        if values:
            self._worked.add((row.name, kernel.name))
        else:
            self._failed[row.name, kernel.name] += 1
        for measure in row.measures:
            cell = self._results.cell(measure.key, kernel.name)
            if measure.key in values:
                cell.samples.append(values[measure.key])
        # Once is enough: it stands in the first line of the row.
        self._results.cell(row.measures[0].key, kernel.name).troubles.extend(troubles)
