"""``%resources``: what the kernel has used lately, shown in the notebook itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.display import display

from ..shared import sizes
from . import picture
from .recording import record

if TYPE_CHECKING:
    from .recording import Recording
    from .shell import ZMQInteractiveShell

_MINUTES = 15.0
_THIS_CELL = "--this-cell"


class Resources:
    """A recording that a frontend can show."""

    def __init__(self, recording: Recording, title: str) -> None:
        self.recording = recording
        self.title = title

    def __repr__(self) -> str:
        return picture.text(self.recording, self.title)

    def _repr_html_(self) -> str:
        return picture.html(self.recording, self.title)


@magics_class
class ResourceMagics(Magics):  # type: ignore[misc]
    """What the kernel uses, as a picture."""

    @line_magic  # type: ignore[untyped-decorator]
    def resources(self, parameter_s: str = "") -> Resources | None:
        """Show memory and processor use over the kernel's recent life.

        ``%resources`` shows the last 15 minutes, ``%resources 60`` the last 60. Gaps in which
        nothing ran are cut short. ``%%resources`` on a cell shows that cell's own curve.
        """
        shell: ZMQInteractiveShell = self.shell
        if shell.meter is None:
            raise UsageError("The kernel does not measure cells (--measure-cells=off).")
        argument = parameter_s.strip()
        if argument == _THIS_CELL:
            _show_after_cell(shell)
            return None
        try:
            minutes = float(argument or _MINUTES)
        except ValueError:
            raise UsageError(
                f"%resources takes a number of minutes, like %resources 60; not {argument!r}"
            ) from None
        # The running cell is this very one: its curve so far belongs to the picture.
        costs = [*shell.meter.history, shell.meter.so_far()]
        limit = shell.limits.memory
        recording = record(shell.samples.read(), costs, limit, time.time() - 60 * minutes)
        return Resources(recording, f"This kernel, last {minutes:g} minutes")

    @cell_magic("resources")  # type: ignore[untyped-decorator]
    def resources_of_cell(self, line: str, cell: str) -> None:  # noqa: ARG002 - IPython's signature
        """Run the cell, and show its own memory and processor use."""
        # For help and completion. ``show_cell`` has replaced the line before it can come to this:
        # code that runs inside a magic knows no ``await``, and its errors have the wrong lines.
        raise UsageError("%%resources has to be the first line of the cell")


def show_cell(lines: list[str]) -> list[str]:
    """Turn ``%%resources`` in the first line of a cell into an order to show it at the end."""
    if lines and lines[0].split() == ["%%resources"]:
        call = f'get_ipython().run_line_magic("resources", "{_THIS_CELL}")\n'
        return [call, *lines[1:]]
    return lines


def _show_after_cell(shell: ZMQInteractiveShell) -> None:
    meter = shell.meter
    assert meter is not None
    asked_by = meter.so_far().number

    def show(*_: Any) -> None:
        shell.events.unregister("post_run_cell", show)
        costs = meter.so_far()
        if costs.number != asked_by:  # which was silent: this event was not its own
            return
        samples = [sample for sample in shell.samples.read() if sample.number == costs.number]
        recording = record(samples, [costs], shell.limits.memory, 0.0)
        cpu = costs.cpu_user + costs.cpu_system + costs.cpu_children
        title = (
            f"This cell: {costs.wall:.2f} s, {cpu:.2f} s of processor time, "
            f"{sizes.show(costs.memory_change)} more memory than before"
        )
        display(Resources(recording, title))

    shell.events.register("post_run_cell", show)
