"""The rounds of all kernels at the same time, so that all of them have the same weather.

They do not wait for each other: a cell that is stuck holds up its own kernel only.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks.failures import FailedError
from benchmarks.process import forbid_core_files

from .rounds import ROUNDS, WrongError
from .session import Session
from .tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.kernels import Kernel


def drive(kernels: Sequence[Kernel], numbers: Sequence[int], deadline: float) -> dict[str, Tally]:
    """Run the rounds of these numbers; whatever happens, all kernels are ended."""
    forbid_core_files()
    tallies = {kernel.name: Tally(_version(kernel)) for kernel in kernels}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        seats: list[_Seat] = []
        for kernel in kernels:
            place = folder / kernel.name
            place.mkdir()
            seats.append(stack.enter_context(_Seat(kernel, place, deadline, tallies[kernel.name])))
        with ThreadPoolExecutor(len(seats)) as pool:
            for _ in pool.map(lambda seat: seat.rounds(numbers), seats):
                pass  # raises what went wrong with the driver itself
    return tallies


class _Seat:
    """A kernel in the run: started anew where it got stuck, as its user would do."""

    def __init__(self, kernel: Kernel, folder: Path, deadline: float, tally: Tally) -> None:
        self._kernel, self._folder, self._deadline = kernel, folder, deadline
        self._tally = tally
        self._session: Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def rounds(self, numbers: Sequence[int]) -> None:
        """Run the rounds of these numbers."""
        for number in numbers:
            self._round(number)

    def _round(self, number: int) -> None:
        name, do = ROUNDS[number % len(ROUNDS)]
        began = time.monotonic()
        try:
            do(self._ready(), number)
        except WrongError as error:
            self._tally.wrong[f"{name}: {error}"] += 1
            self._note(number, name, error)
        except FailedError as error:
            self._tally.stuck[f"{name}: {error}"] += 1
            self._note(number, name, error)
            self._end()
        self._tally.rounds += 1
        self._tally.seconds += time.monotonic() - began

    def _note(self, number: int, name: str, error: Exception) -> None:
        print(f"{self._kernel.name}: round {number}, {name}: {error}", file=sys.stderr, flush=True)

    def _ready(self) -> Session:
        if self._session is None:
            self._session = Session(self._kernel, self._folder, self._deadline)
        return self._session

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
            self._tally.left += session.left


def _version(kernel: Kernel) -> str:
    if not kernel.distribution:
        return ""
    code = f"from importlib.metadata import version; print(version({kernel.distribution!r}))"
    done = subprocess.run(
        [kernel.python, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    return f"{kernel.distribution} {done.stdout.strip()}"
