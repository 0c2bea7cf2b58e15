"""What came of the variables after a crash, in words. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """What came of the variables."""

    restored: bool = False
    after: int = 0
    """The execution_count of the newest cell whose variables are there."""
    losses: tuple[str, ...] = ()
    """What has not come back, in words."""
    why_not: str = ""
    """Why nothing was restored; "" if nobody asked for it."""


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

    def as_json(self) -> dict[str, Any]:
        """Give what goes into a usage_reply."""
        state = "restorable" if self.pid and not self.why_not else "older" if self.pid else "none"
        return {
            "state": state,
            "execution_count": self.after if self.pid else None,
            "snapshot_pid": self.pid or None,
            "seconds": round(self.cost, 6),
            "losses": list(self.losses),
            "why_not": self.why_not or None,
        }


def variables(outcome: Outcome, count: int, *, ran: bool) -> list[str]:
    """Tell what there is; ``count`` is that of the newest cell, which ``ran`` when it ended."""
    if not outcome.restored:
        lines = [
            "Its variables are gone. What was printed is all here, and a new interpreter takes "
            "over."
        ]
        if outcome.why_not:
            lines.append(f"They could not be restored: {outcome.why_not}.")
        return lines
    last = count - 1 if ran else count
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
    if outcome.losses:
        lines.append(f"What did not come back: {' '.join(outcome.losses)}")
    return lines


def would_be_left(standing: Standing | None) -> str:
    """Tell what the end of the interpreter would leave of its variables."""
    if standing is None or not standing.pid:
        return "its variables are lost then"
    return f"its variables are then as they were after {_cell(standing.after)}"


def next_step(outcome: Outcome, *, ran: bool) -> str:
    """Tell what to do next."""
    if outcome.restored:
        return "Next: change this cell, and go on." if ran else "Next: go on."
    if ran:
        return "Next: run the cells above this one again, and change this one first."
    return "Next: run the cells that made the variables you need again."


def _cell(count: int) -> str:
    return f"In [{count}]" if count else "the start"


def _cells(first: int, last: int) -> str:
    return f"In [{first}]" if first >= last else f"In [{first}] to [{last}]"
