"""One shell's way to the worker: its queue, its pipe, its prompt. Used by Shell alone.

The main shell has one, and each subshell. Nothing here waits: what the pipe does not take is kept,
and the poller tells when it takes more.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

import zmq

from .queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..shared.frames import Buffer
    from .events import Request
    from .wire import Message

NO_PIPE = -1


class Lane:
    """What one shell has to do, and how it comes to the worker."""

    def __init__(self, poller: zmq.Poller, name: str | None = None) -> None:
        """Take the poller of the thread, and the subshell's id; None is the main shell."""
        self._poller = poller
        self._outgoing: deque[memoryview] = deque()
        self.name = name
        self.queue = Queue()
        self.prompt: tuple[bytes, str] | None = None
        """The question that is open: the worker's name for it, and our msg_id."""
        self.pipe = NO_PIPE
        self.number = 0
        """Under which the worker knows this subshell."""
        self.deleted = False
        """It takes no more requests, and ends when it has none."""

    def __repr__(self) -> str:
        return f"<Lane {self.name or 'main'}: {self.queue}>"

    @property
    def is_idle(self) -> bool:
        """Tell whether it has nothing to do."""
        return self.queue.is_idle

    def attach(self, pipe: int) -> None:
        """Take the writing end of a pipe to the worker, which must not block."""
        self.pipe = pipe

    def part(self) -> None:
        """Close the pipe, and forget what was on its way."""
        if self.pipe == NO_PIPE:
            return
        if self.pipe in self._poller:
            self._poller.unregister(self.pipe)
        os.close(self.pipe)
        self.pipe = NO_PIPE
        self._outgoing.clear()
        self.prompt = None

    def send(self, pieces: Iterable[Buffer]) -> None:
        """Write a record, or as much of it as the pipe takes now."""
        self._outgoing.extend(map(memoryview, pieces))
        self.write()

    def write(self) -> None:
        """Write what the pipe takes; ask the poller to tell when it takes more."""
        outgoing = self._outgoing
        if not outgoing:
            return
        try:
            while outgoing:
                written = os.writev(self.pipe, list(outgoing)[:64])
                while outgoing and written >= len(outgoing[0]):
                    written -= len(outgoing.popleft())
                if written:
                    outgoing[0] = outgoing[0][written:]
        except BlockingIOError:
            self._poller.register(self.pipe, zmq.POLLOUT)
            return
        except BrokenPipeError:
            outgoing.clear()  # it is dead; IOPub will say so
        if self.pipe in self._poller:
            self._poller.unregister(self.pipe)

    def answers(self, message: Message) -> Request | None:
        """Give the request whose question an input_reply answers, if it is one of this shell.

        Not every client says which prompt it answers; one that does must mean this one.
        """
        current, prompt = self.queue.current, self.prompt
        if current is None or prompt is None or message.identities != current.message.identities:
            return None
        known = ("", prompt[1], current.message.msg_id)
        return current if message.parent() in known else None
