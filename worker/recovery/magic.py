"""``%recovery``: whether a crash would lose variables, why, and what it costs to be safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from ...shared import sizes
from .budget import AUTO, OFF, ON

if TYPE_CHECKING:
    from .snapshots import Snapshots

_MODES = {
    AUTO: "on, wherever a snapshot has earned its price (auto)",
    ON: "on, after every cell",
    OFF: "off",
}


@magics_class
class RecoveryMagics(Magics):  # type: ignore[misc]
    """The magic of snapshots."""

    @line_magic  # type: ignore[untyped-decorator]
    def recovery(self, parameter_s: str = "") -> None:
        """Tell what a crash would leave of your variables, or switch recovery.

        ``%recovery`` or ``%recovery status`` tells; ``%recovery on``, ``off`` and ``auto`` switch.
        While it is on, a copy of the interpreter waits between cells, and takes its place if it
        dies. ``auto`` makes one when nobody waits, and in a queue of cells only when they have
        taken long; ``on`` makes one after every cell.
        """
        mode = parameter_s.strip().lower()
        snapshots: Snapshots = self.shell.snapshots
        if mode in _MODES:
            snapshots.switch(mode)
        elif mode not in ("", "status"):
            raise UsageError("%recovery knows: status, auto, on, off")
        print("\n".join(status(snapshots)))  # noqa: T201


def status(snapshots: Snapshots) -> list[str]:
    """Tell in lines how things stand."""
    budget = snapshots.budget
    lines = [f"Recovery is {_MODES[budget.mode]}."]
    if budget.mode == OFF:
        if snapshots.why_not:
            lines.append(f"Why: {snapshots.why_not}.")
        return [*lines, "A crash loses all variables. Next: %recovery auto"]
    if snapshots.exists:
        lines.append(
            f"A crash now would leave your variables as they were after {_cell(snapshots.after)}."
        )
        lines += snapshots.losses
        if snapshots.donor:
            lines.append(
                "The interpreter would be a fresh one, which gets what can be serialized: "
                f"{snapshots.donor}."
            )
    elif snapshots.end is not None:
        why = f": {snapshots.end}" if snapshots.end else ""
        lines.append(f"There is no snapshot now{why}. One is made when a cell has ended.")
    else:
        lines.append("There is no snapshot yet: one is made when a cell has ended.")
    if snapshots.why_not:
        lines.append(f"The cells after that are in none: {snapshots.why_not}.")
    if budget.taken:
        lines.append(
            f"{budget.taken} snapshot{'' if budget.taken == 1 else 's'} took "
            f"{1000 * budget.spent:.0f} ms together, the newest {1000 * budget.cost:.0f} ms"
            f"{_memory(snapshots)}."
        )
    return lines


def _cell(count: int) -> str:
    return f"In [{count}]" if count else "the start"


def _memory(snapshots: Snapshots) -> str:
    size = snapshots.memory()
    return f", and holds {sizes.show(size)} of its own" if size else ""
