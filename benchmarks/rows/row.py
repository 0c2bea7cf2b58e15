"""A row: a trial, and what its figures are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..trial import Trial

GROUPS = ("Start", "Round trips", "Throughput", "Lives", "Footprint", "Scaling")


@dataclass(frozen=True)
class Measure:
    """One figure of a trial."""

    key: str
    title: str
    unit: str
    """s, B, B/s, or what is counted; '/s' after it is a rate."""
    more_is_better: bool = False


@dataclass(frozen=True)
class Row:
    """What is done once a round with each kernel, and which figures that gives."""

    name: str
    group: str
    trial: Callable[[Trial], dict[str, float]]
    measures: tuple[Measure, ...]
    runs_code: bool = True
    """Whether it makes no sense on a kernel that runs nothing."""
    rounds: int = 1_000
    """At most so many: a row that takes long."""
