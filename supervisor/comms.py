"""The one table of open comms (G14). It belongs to the transcript, and so to the IOPub thread."""

from __future__ import annotations

from collections import Counter


class Comms:
    """Which comms are open, as their clients know it."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}  # comm_id to target_name
        # How often a client closed it without the worker's having heard of it yet.
        self._closing: Counter[str] = Counter()
        self._ghosts: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<Comms: {len(self._open)} open>"

    def opened(self, comm_id: str, target_name: str) -> None:
        """Note a comm that the worker opened."""
        self._open[comm_id] = target_name
        self._ghosts -= {comm_id}

    def accepted(self, comm_id: str, target_name: str) -> None:
        """Note a comm that a client opened and that has found its target."""
        if comm_id not in self._closing:  # or its client has closed it meanwhile
            self._open[comm_id] = target_name

    def closed(self, comm_id: str) -> None:
        """Note a comm that the worker closed."""
        self._open.pop(comm_id, None)

    def closed_by_client(self, comm_id: str) -> None:
        """Note a comm that its client closed: from now on it is not listed."""
        self._open.pop(comm_id, None)
        self._closing[comm_id] += 1

    def forgotten(self, comm_id: str) -> None:
        """Note that a client's close was dealt with: by the worker, or because there is none."""
        self._open.pop(comm_id, None)
        self._closing[comm_id] -= 1
        if self._closing[comm_id] <= 0:
            del self._closing[comm_id]

    def listed(self, target_name: str | None) -> dict[str, dict[str, str]]:
        """Give the ``comms`` of a comm_info_reply, of one target or of all."""
        return {
            comm_id: {"target_name": target}
            for comm_id, target in self._open.items()
            if target_name in (None, target)
        }

    def keep(self, comm_ids: frozenset[str]) -> list[str]:
        """Keep what a restored worker has; forget the others, and give them.

        What was closed since its snapshot was made is closed for clients: it speaks to nobody.
        """
        gone = [comm_id for comm_id in self._open if comm_id not in comm_ids]
        self._ghosts = comm_ids - self._open.keys()
        for comm_id in gone:
            del self._open[comm_id]
        return gone

    def is_ghost(self, comm_id: str) -> bool:
        """Tell whether the worker alone believes that this comm is open."""
        return comm_id in self._ghosts

    def clear(self) -> list[str]:
        """Forget what was open, with the worker; give it. Closes that are on their way stay so."""
        self._ghosts = frozenset()
        comm_ids = list(self._open)
        self._open.clear()
        return comm_ids
