"""The figures of a run, as data: what is written to JSON, and all that tables are made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Cell:
    """What one measure gave with one kernel."""

    samples: list[float] = field(default_factory=list)
    """One of each trial; seconds, bytes, or what the measure counts."""
    troubles: list[str] = field(default_factory=list)
    """What went wrong, once for each trial in which it did."""


@dataclass
class Results:
    """A run."""

    about: dict[str, Any]
    """When, on what machine, which versions."""
    kernels: list[str]
    """The first is what the others are compared with."""
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    """Of each measure, of each kernel."""

    def cell(self, measure: str, kernel: str) -> Cell:
        """Give a cell to fill in."""
        return self.cells.setdefault(measure, {}).setdefault(kernel, Cell())

    def find(self, measure: str, kernel: str) -> Cell:
        """Give a cell to read; an empty one if there is none."""
        return self.cells.get(measure, {}).get(kernel, Cell())

    def to_json(self) -> dict[str, Any]:
        """Give what json.dumps takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Results:
        """Read what ``to_json`` gave."""
        cells = {
            measure: {kernel: Cell(**cell) for kernel, cell in kernels.items()}
            for measure, kernels in data["cells"].items()
        }
        return cls(data["about"], data["kernels"], cells)
