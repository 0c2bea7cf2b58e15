"""What became of each cell of a run. Pure: what the kernel replied goes in, words come out.

Cells are counted as a reader counts them: those with code, from 1, whether they ran or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAY_FAIL = "raises-exception"
NOT_TO_RUN = "skip-execution"


@dataclass(frozen=True)
class Failure:
    """Why a cell failed, as a Jupyter error has it."""

    ename: str
    evalue: str
    traceback: tuple[str, ...] = ()
    fatal: bool = False
    """The run ends with it, even if the cell was allowed to fail."""

    def __str__(self) -> str:
        """Give the error in one line."""
        first = self.evalue.strip().partition("\n")[0]
        return f"{self.ename}: {first}" if first else self.ename

    @property
    def report(self) -> str:
        """The error as the kernel tells it, coloured by escape sequences."""
        return "\n".join(self.traceback) or f"{self.ename}: {self.evalue}"


def failure_of(reply: dict[str, Any]) -> Failure | None:
    """Read the content of an execute_reply. None means that the cell succeeded."""
    status = reply.get("status")
    if status == "ok":
        return None
    if status != "error":  # the kernel did not run it: nothing allows that
        return Failure(str(status), "the kernel did not run this cell", fatal=True)
    ename, evalue = str(reply.get("ename", "Error")), str(reply.get("evalue", ""))
    return Failure(ename, evalue, tuple(reply.get("traceback") or ()))


@dataclass
class Outcome:
    """One cell, and what became of it."""

    number: int
    line: str
    """The first line of its code."""
    excuse: str = ""
    """Why it may fail; "" if it may not."""
    state: str = "not run"
    seconds: float | None = None
    failure: Failure | None = None
    resources: dict[str, Any] | None = None
    """What it used, as the kernel tells it: seconds and bytes."""

    def __str__(self) -> str:
        """Give the outcome in a word or two."""
        if self.failure is None:
            return self.state
        return self.failure.ename if self.failed else f"{self.failure.ename} ({self.excuse})"

    @property
    def failed(self) -> bool:
        """Whether the run ended with this cell."""
        return self.failure is not None and (self.failure.fatal or not self.excuse)

    def end(self, seconds: float, failure: Failure | None) -> None:
        """Note that the cell has run."""
        self.state, self.seconds, self.failure = "ok", seconds, failure


class Outcomes:
    """The outcomes of a notebook's cells of code, by their places in the notebook."""

    def __init__(self, cells: Sequence[Any], *, allow_errors: bool) -> None:
        self._by_place: dict[int, Outcome] = {}
        for place, cell in enumerate(cells):
            if cell.cell_type == "code" and cell.source.strip():
                outcome = _outcome(len(self._by_place) + 1, cell, allow_errors=allow_errors)
                self._by_place[place] = outcome

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self._by_place.values())

    def __len__(self) -> int:
        return len(self._by_place)

    def __getitem__(self, place: int) -> Outcome:
        return self._by_place[place]


def _outcome(number: int, cell: Any, *, allow_errors: bool) -> Outcome:
    tags = cell.metadata.get("tags", ())
    excuse = "expected" if MAY_FAIL in tags else "allowed" if allow_errors else ""
    state = "skipped" if NOT_TO_RUN in tags else "not run"
    return Outcome(number, cell.source.strip().partition("\n")[0], excuse, state)
