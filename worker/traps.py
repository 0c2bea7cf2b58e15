"""IPython's traps, which put its builtins and its display hook in place while cells run.

They count how deep they are nested, and are only put away by the last one to leave. With subshells
several threads come and go, so each step is taken whole: by one thread at a time, and by no
interrupt.
"""

from __future__ import annotations

import threading
from typing import Any

from IPython.core.builtin_trap import BuiltinTrap
from IPython.core.display_trap import DisplayTrap

from .stacks import protected

_one_at_a_time = threading.RLock()


class WorkerBuiltinTrap(BuiltinTrap):  # type: ignore[misc]
    """Names like ``get_ipython``, for as long as any cell runs."""

    @protected
    def __enter__(self) -> Any:
        with _one_at_a_time:
            return BuiltinTrap.__enter__(self)

    @protected
    def __exit__(self, *error: object) -> Any:
        with _one_at_a_time:
            return BuiltinTrap.__exit__(self, *error)


class WorkerDisplayTrap(DisplayTrap):  # type: ignore[misc]
    """``sys.displayhook``, for as long as any cell runs."""

    @protected
    def __enter__(self) -> Any:
        with _one_at_a_time:
            return DisplayTrap.__enter__(self)

    @protected
    def __exit__(self, *error: object) -> Any:
        with _one_at_a_time:
            return DisplayTrap.__exit__(self, *error)
