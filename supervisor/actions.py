"""What the transcript says is to be done, one class a kind of action; IOPub does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..shared.tuples import NamedTuple

if TYPE_CHECKING:
    from .events import ToControl, ToShell


class Publish(NamedTuple):
    """Publish a message on IOPub."""

    msg_type: str
    parent: bytes
    content: bytes
    metadata: bytes = b"{}"
    buffers: tuple[bytes, ...] = ()
    topic: str = ""  # "" for the ordinary one


class TellShell(NamedTuple):
    """Put an event into Shell's inbox."""

    event: ToShell


class TellControl(NamedTuple):
    """Put an event into Control's inbox."""

    event: ToControl


class Log(NamedTuple):
    """Write a line of the worker's into the log."""

    level: str
    text: str


Action = Publish | TellShell | TellControl | Log
