"""IPython's payloads: what a cell wants its client to do. Each thread's cell has its own."""

from __future__ import annotations

from typing import Any

from IPython.core.payload import PayloadManager

from .here import here


class WorkerPayloadManager(PayloadManager):  # type: ignore[misc]
    """Keeps the payloads of cells apart that run at the same time.

    Threads of the user's add to the main shell's.
    """

    _mains: list[dict[str, Any]] = []  # noqa: RUF012 - replaced, never changed, before it is used

    @property
    def _payload(self) -> list[dict[str, Any]]:
        if here.payload is not None:
            return here.payload
        if "_mains" not in vars(self):
            self._mains = []
        return self._mains

    @_payload.setter
    def _payload(self, payload: list[dict[str, Any]]) -> None:
        if here.payload is not None:
            here.payload = payload
        else:
            self._mains = payload
