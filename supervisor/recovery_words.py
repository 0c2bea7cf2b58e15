"""What came of the variables after a crash, in words. Pure."""

from __future__ import annotations

from typing import Any

from ..shared.tuples import NamedTuple


class Moved(NamedTuple):
    """What has been moved to a fresh interpreter."""

    names: tuple[str, ...]
    total: int
    """Of very many, not all are named."""
    lost: tuple[str, ...]
    """What has not been moved, each with the reason."""
    lost_total: int
    apart: bool
    """What several of them shared is no longer shared."""


class Outcome(NamedTuple):
    """What came of the variables."""

    restored: bool = False
    after: int = 0
    """The execution_count of the newest cell whose variables are there."""
    losses: tuple[str, ...] = ()
    """What has not come back, in words."""
    why_not: str = ""
    """Why nothing was restored, or nothing newer; "" if nobody asked for it."""
    moved: Moved | None = None
    """What there is instead of everything."""
    behind: str = ""
    """Why nothing newer was moved, if that is so."""


class Standing(NamedTuple):
    """What a crash would leave now."""

    after: int
    """The execution_count of the newest cell that is in a snapshot."""
    pid: int
    """Of the snapshot; 0 if there is none."""
    cost: float
    """Seconds that it took."""
    losses: tuple[str, ...]
    why_not: str
    """Why the newest cells are in none; "" if they are in it."""
    donor: str = ""
    """Why the snapshot cannot become a worker, but only give what can be serialized."""

    def as_json(self) -> dict[str, Any]:
        """Give what goes into a usage_reply."""
        return {
            "state": self._state(),
            "execution_count": self.after if self.pid else None,
            "snapshot_pid": self.pid or None,
            "seconds": round(self.cost, 6),
            "losses": list(self.losses),
            "why_not": self.why_not or self.donor or None,
        }

    def _state(self) -> str:
        if not self.pid:
            return "none"
        if self.donor:
            return "movable"
        return "older" if self.why_not else "restorable"


def variables(outcome: Outcome, last: int) -> list[str]:
    """Tell what there is; ``last`` is the number of the newest cell but the one that ran."""
    if outcome.moved is not None and outcome.moved.total:
        return _moved(outcome, outcome.moved, last)
    if not outcome.restored:
        lines = [
            "Its variables are gone. What was printed is all here, and a new interpreter takes "
            "over."
        ]
        if outcome.why_not:
            lines.append(f"They could not be restored: {outcome.why_not}.")
        if outcome.moved is not None:
            lines += _not_moved(outcome.moved)
        return lines
    if outcome.after >= last:
        lines = [
            f"Its variables are back: they are as they were after {_cell(outcome.after)}. Nothing "
            "was run again, and what was printed is all here."
        ]
    else:
        lines = [
            f"Its variables are as they were after {_cell(outcome.after)}. Nothing was run again: "
            f"what {_cells(outcome.after + 1, last)} did to them is lost."
        ]
        if outcome.why_not:
            lines.append(f"There was no newer snapshot: {outcome.why_not}.")
    if outcome.losses:
        lines.append(f"What did not come back: {' '.join(outcome.losses)}")
    return lines


def _moved(outcome: Outcome, moved: Moved, last: int) -> list[str]:
    one = moved.total == 1
    lines = [
        f"{moved.total} variable{' was' if one else 's were'} moved to a fresh interpreter, as "
        f"{'it was' if one else 'they were'} after {_cell(outcome.after)}: "
        f"{_listed(moved.names, moved.total, ', ')}."
    ]
    if outcome.after < last:
        what = _cells(outcome.after + 1, last)
        lines.append(f"Nothing was run again: what {what} did to variables is lost.")
        if outcome.behind:
            lines.append(f"There was no newer snapshot: {outcome.behind}.")
    if moved.apart and not one:
        lines.append(
            "Each was moved by itself: an object that was part of several of them is several "
            "objects now."
        )
    lines += _not_moved(moved)
    if outcome.why_not:
        lines.append(f"The interpreter itself could not be restored: {outcome.why_not}.")
    return lines


def _not_moved(moved: Moved) -> list[str]:
    if not moved.lost_total:
        return []
    return [f"Not moved: {_listed(moved.lost, moved.lost_total, '; ')}."]


def _listed(words: tuple[str, ...], count: int, between: str) -> str:
    rest = count - len(words)
    return between.join(words) + (f" and {rest} more" if rest > 0 else "")


def would_be_left(standing: Standing | None) -> str:
    """Tell what the end of the interpreter would leave of its variables."""
    if standing is None or not standing.pid:
        return "its variables are lost then"
    if standing.donor:
        return (
            "what can be serialized of its variables is then moved to a fresh one, as it was after "
            f"{_cell(standing.after)}"
        )
    return f"its variables are then as they were after {_cell(standing.after)}"


def next_step(outcome: Outcome, *, ran: bool) -> str:
    """Tell what to do next."""
    if outcome.restored:
        return "Next: change this cell, and go on." if ran else "Next: go on."
    if outcome.moved is not None and outcome.moved.total:
        missing = "make what was not moved again" if outcome.moved.lost_total else ""
        *steps, last = filter(None, [missing, "change this cell" if ran else "", "go on"])
        return f"Next: {', '.join(steps)}{', and ' if steps else ''}{last}."
    if ran:
        return "Next: run the cells above this one again, and change this one first."
    return "Next: run the cells that made the variables you need again."


def _cell(count: int) -> str:
    return f"In [{count}]" if count else "the start"


def _cells(first: int, last: int) -> str:
    return f"In [{first}]" if first >= last else f"In [{first}] to [{last}]"
