"""Make messages for IOPub out of Python objects: the one place in which JSON is encoded.

What has no form in JSON fails here, in the frame of the user's code that sent it, and nothing else
is touched.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..shared.records import Kind
from . import jsons

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .channel import Sender
    from .context import Current


# What the supervisor would end a worker for, because only a broken one can send it.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED = frozenset({"status", "iopub_welcome", "comm_open", "comm_msg", "comm_close"})


class Publisher:
    """Send messages under the request of the calling code."""

    def __init__(self, sender: Sender, current: Current) -> None:
        self._sender = sender
        self._current = current

    def is_ours(self) -> bool:
        """Tell whether this process is the worker, and not a child that was forked from it."""
        return self._sender.is_ours()

    def publish(
        self,
        msg_type: str,
        content: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        buffers: Iterable[Any] = (),
    ) -> None:
        """Publish a message on IOPub.

        Raises TypeError or ValueError for what JSON cannot say, and ValueError for a msg_type that
        is not for the worker to send.
        """
        __tracebackhide__ = True
        if not _NAME.fullmatch(msg_type) or msg_type in _RESERVED:
            raise ValueError(f"a cell cannot publish a message of type {msg_type!r}")
        self._sender.send(
            Kind.PUBLISH,
            self._current.get().number,
            msg_type.encode(),
            jsons.dumps(content),
            jsons.dumps(metadata or {}),
            *map(_flat, buffers),
        )

    def release(self) -> None:
        """Let what was kept back go out: nothing else may come for a while."""
        self._sender.release()

    def show_code(self, code: str, execution_count: int) -> None:
        """Publish the code of the cell that begins."""
        content = jsons.dumps({"code": code, "execution_count": execution_count})
        number = self._current.get().number
        self._sender.show_code(number, content)

    def comm(
        self,
        msg_type: str,
        comm_id: str,
        target_name: str,
        content: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        buffers: Iterable[Any] = (),
    ) -> None:
        """Publish a message of a comm. Raises as ``publish``."""
        self._sender.send(
            Kind.COMM,
            self._current.get().number,
            comm_id.encode(),
            target_name.encode(),
            msg_type.encode(),
            jsons.dumps(content),
            jsons.dumps(metadata or {}),
            *map(_flat, buffers),
        )

    def comm_accepted(self, comm_id: str, target_name: str) -> None:
        """Tell that a comm which the client opened has found its target."""
        self._sender.send(Kind.COMM_ACCEPTED, 0, comm_id.encode(), target_name.encode())

    def comm_forgotten(self, comm_id: str) -> None:
        """Tell that a client's comm_close was dealt with."""
        self._sender.send(Kind.COMM_FORGOTTEN, 0, comm_id.encode())

    def log(self, level: str, text: str) -> None:
        """Write a line into the supervisor's log."""
        self._sender.send(Kind.LOG, 0, level.encode(), text.encode("utf-8", "replace"))


def _flat(buffer: Any) -> memoryview:
    """Give the bytes behind any contiguous buffer."""
    view = memoryview(buffer)
    if not view.c_contiguous:
        raise ValueError("a buffer must be contiguous; numpy.ascontiguousarray makes it so")
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")
