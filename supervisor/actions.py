"""What the transcript says is to be done, one class a kind of action; IOPub does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import ToControl, ToShell


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish a message on IOPub."""

    msg_type: str
    parent: bytes
    content: bytes
    metadata: bytes = b"{}"
    buffers: tuple[bytes, ...] = ()
    topic: str = ""  # "" for the ordinary one


@dataclass(frozen=True, slots=True)
class TellShell:
    """Put an event into Shell's inbox."""

    event: ToShell


@dataclass(frozen=True, slots=True)
class TellControl:
    """Put an event into Control's inbox."""

    event: ToControl


@dataclass(frozen=True, slots=True)
class Log:
    """Write a line of the worker's into the log."""

    level: str
    text: str


Action = Publish | TellShell | TellControl | Log
