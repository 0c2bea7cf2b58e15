"""How long Control waits for a worker. None of these makes an order."""

from __future__ import annotations

from ..shared.tuples import NamedTuple


class Deadlines(NamedTuple):
    """How long Control waits for a worker, in seconds."""

    hello: float = 60.0
    """From the order for a worker to its hello: start-up files may take a while."""
    closed: float = 1.0
    """From the end of a worker's pipe to the end of its process."""
    leave: float = 0.7
    """From the request to leave to SIGTERM: time for exit handlers."""
    goodbye: float = 5.0
    """From the user's exit() to SIGTERM."""
    term: float = 0.4
    """From SIGTERM to SIGKILL."""
