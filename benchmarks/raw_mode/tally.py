"""What became of the rounds: counted, added up over several runs, and told as a table."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Tally:
    """The rounds of one kernel."""

    version: str = ""
    rounds: int = 0
    stuck: Counter[str] = field(default_factory=Counter)
    """Cells and starts that did not end within the deadline, by round and what was missing."""
    wrong: Counter[str] = field(default_factory=Counter)
    """Cells that ended, but not as they should have."""
    left: int = 0
    """Processes that were there a second after the kernel was disposed of."""
    seconds: float = 0.0

    def add(self, other: Tally) -> None:
        """Add the rounds of another run."""
        self.version = other.version
        self.rounds += other.rounds
        self.stuck.update(other.stuck)
        self.wrong.update(other.wrong)
        self.left += other.left
        self.seconds += other.seconds


def merge(path: Path, tallies: dict[str, Tally]) -> dict[str, Tally]:
    """Add these to those that stand in a file, and write it; give the sums."""
    sums: dict[str, Tally] = {}
    if path.exists():
        for name, fields in json.loads(path.read_text(encoding="utf-8")).items():
            counters = {key: Counter(fields.pop(key)) for key in ("stuck", "wrong")}
            sums[name] = Tally(**fields, **counters)
    for name, tally in tallies.items():
        sums.setdefault(name, Tally()).add(tally)
    # vars() and not asdict(), which takes a Counter for pairs to be counted.
    text = json.dumps({name: vars(tally) for name, tally in sums.items()}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    return sums


def table(tallies: dict[str, Tally]) -> str:
    """Make a table of Markdown."""
    lines = [
        "| kernel | rounds | stuck | ended wrongly | processes left | seconds |",
        "| --- | ---: | --- | --- | ---: | ---: |",
    ]
    for name, tally in tallies.items():
        title = f"{name} ({tally.version})" if tally.version else name
        lines.append(
            f"| {title} | {tally.rounds} | {_counts(tally.stuck)} | {_counts(tally.wrong)} "
            f"| {tally.left} | {tally.seconds:.0f} |"
        )
    return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    if not counter:
        return "0"
    told = "; ".join(f"{what}: {count}" for what, count in sorted(counter.items()))
    return f"**{counter.total()}** ({told})"
