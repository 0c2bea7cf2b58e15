"""What Bulkhead is to reach, as data, and whether it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .results import Results

OURS = "bulkhead"


class Target(NamedTuple):
    """A bound for the ratio to a kernel of the same run, or, without one, for the figure."""

    measure: str
    bound: float
    against: str = ""
    at_least: bool = False


class Verdict(NamedTuple):
    """A target, and where we are. ``found`` is None if nothing was measured."""

    target: Target
    found: float | None

    @property
    def met(self) -> bool:
        """Tell whether the target is reached; what was not measured is not."""
        if self.found is None:
            return False
        if self.target.at_least:
            return self.found >= self.target.bound
        return self.found <= self.target.bound


TARGETS = (
    Target("start.info", 0.35, "ipykernel"),
    Target("start.info", 0.85, "xpython"),
    Target("start.first", 0.5, "ipykernel"),
    Target("restart", 0.5, "ipykernel"),
    Target("trip.pass", 0.22, "ipykernel"),
    Target("trip.pass", 0.65, "xpython"),
    Target("cpu.pass", 0.3, "ipykernel"),
    Target("trip.comm", 0.5, "ipykernel"),
    Target("prints", 1.0, "ipykernel"),
    Target("prints.messages", 100.0),
    Target("prints.first", 0.010),
    Target("turns", 0.1, "ipykernel"),
    Target("displays", 4.0, "ipykernel", at_least=True),
    Target("buffers", 1.0, "ipykernel", at_least=True),
    Target("crash", 0.100),
    Target("memory.pss", 1.35, "ipykernel"),
    Target("memory.numpy.pss", 1.3, "ipykernel"),
    Target("idle.wake_ups", 0.0),
)


def judge(results: Results, targets: tuple[Target, ...] = TARGETS) -> Iterator[Verdict]:
    """Compare a run with the targets that it can tell about: both kernels took part in the row."""
    for target in targets:
        row = results.cells.get(target.measure, {})
        if OURS not in row or (target.against and target.against not in row):
            continue
        samples = row[OURS].samples
        if target.against:
            found = stats.ratio(samples, row[target.against].samples)
        else:
            found = stats.median(samples)
        yield Verdict(target, found)
