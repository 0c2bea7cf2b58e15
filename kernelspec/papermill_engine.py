"""papermill's own engine, which keeps what each cell used: ``papermill --engine bulkhead``.

It runs notebooks on any kernel; only Bulkhead tells what a cell used.
"""

from __future__ import annotations

from typing import Any

from papermill.engines import NBClientEngine

from .resources import record


class Engine(NBClientEngine):  # type: ignore[misc]
    """nbclient, with ``resources.record`` as its hook."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Execute a notebook. Takes and gives what papermill's engine does."""
        return super().execute_managed_notebook(
            nb_man, kernel_name, **{"on_cell_executed": record, **kwargs}
        )
