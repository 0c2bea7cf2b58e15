"""What belongs to the cell that the calling thread runs.

There is one InteractiveShell, and with subshells more than one thread may run a cell in it. What
IPython and we keep of the running cell must then be each thread's own.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .receiver import Receiver
    from .running import Running


class _Here(threading.local):
    """A thread sees these values until it has set its own."""

    running: Running | None = None
    """What interrupts the thread's cells; None in threads that are no shell's."""
    receiver: Receiver | None = None
    """Where answers to ``input()`` come."""
    can_ask: bool = False
    """The running request's client answers ``input()``."""
    last_error: dict[str, Any] | None = None
    """Content of the error message of the running cell, once it was published."""
    told_of: int = 0
    """The ``id`` of the exception that it tells of, which itself would keep the cell's frames."""
    display_failed: bool = False
    """Showing the value of the running cell failed; that makes the cell fail."""
    showing: bool = False
    """A value is being shown; an error now is an error of showing it."""
    result: dict[str, Any] | None = None
    """The content of the execute_result that is being made."""
    source: str = ""
    """The newest cell that is in the history; a semicolon at its end keeps its value quiet."""
    execution_result: Any = None
    """IPython's object for the result of the running cell."""
    payload: list[dict[str, Any]] | None = None
    """What the running cell wants its client to do."""
    count: int | None = None
    """The running cell's execution_count, as IPython counts it on."""


here = _Here()
