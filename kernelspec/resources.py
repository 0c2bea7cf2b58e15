"""What a cell used, kept in the notebook: Jupyter itself forgets the metadata of a reply.

``record`` is a hook for nbclient::

    NotebookClient(notebook, on_cell_executed=record).execute()

nbconvert and papermill are built on nbclient; for papermill there is an engine (``--engine
bulkhead``).
"""

from __future__ import annotations

from typing import Any

KEY = "resources"
"""In the metadata of an execute_reply, and of a cell."""


def of_reply(execute_reply: dict[str, Any]) -> dict[str, Any] | None:
    """Give what a cell used, as its reply tells it; None if it was not measured."""
    resources = execute_reply.get("metadata", {}).get(KEY)
    return resources if isinstance(resources, dict) else None


def record(
    cell: Any,
    cell_index: int,  # noqa: ARG001 - nbclient names its arguments
    execute_reply: dict[str, Any],
) -> None:
    """Write what a cell used into its metadata, under 'resources': seconds and bytes."""
    resources = of_reply(execute_reply)
    if resources is not None:
        cell.metadata[KEY] = resources
