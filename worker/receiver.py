"""The worker's side of a pipe on which requests come: whole records in.

Bytes are read only when there are some, by a function in which no interrupt is raised. Waiting
happens outside of it.
"""

from __future__ import annotations

import os
import select
from collections import deque
from typing import TYPE_CHECKING

from ..shared import records
from ..shared.frames import Decoder
from ..shared.records import Kind
from .stacks import protected

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..shared.handover import Handover
    from ..shared.records import Record
    from .running import Running

_READ = 1 << 16  # more at a time would be memory fresh from the system, each time


class Receiver:
    """Read records from the supervisor."""

    def __init__(self, fd: int, handover: Handover, running: Running) -> None:
        os.set_blocking(fd, False)
        self._handover = handover
        self._fd = fd
        self._fds: tuple[int, ...] = (fd,)  # to be closed
        self._running = running
        self._decoder = Decoder()
        self._records: deque[Record] = deque()
        self.ended = False
        """The supervisor has closed its end: the worker is to leave."""
        self.put_aside: Callable[[Record], None] = lambda _: None
        """Takes the comm messages that come while an answer is waited for."""

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._fd

    def begin_again(self) -> None:
        """Begin with a new pipe, in a process that has become the worker."""
        os.set_blocking(self._fd, False)
        self._decoder = Decoder()
        self._records.clear()
        self.ended = False

    def take(self) -> Record | None:
        """Give the next record that has arrived, or None. Does not wait."""
        __tracebackhide__ = True
        if not self._records and not self.ended:
            self._read()
            self._running.deliver()
        if not self._records:
            return None
        return records.taken(self._records.popleft(), self._handover)

    def wait_for_answer(self, name: bytes) -> Record | None:
        """Wait for the answer to a prompt; None if none will come. Interrupts are raised meanwhile.

        An answer to an earlier prompt, which was interrupted, is nobody's answer (G30).
        """
        __tracebackhide__ = True
        poll = select.poll()
        for fd in (self._fd, *self._running.watched()):
            poll.register(fd, select.POLLIN)
        while True:
            while (record := self.take()) is not None:
                if record.kind is Kind.ASIDE:
                    self.put_aside(record)
                elif record.kind is Kind.INPUT_REPLY and record.parts[1] == name:
                    return record
            if self.ended:
                return None
            poll.poll()

    def close(self) -> None:
        """Let go of the pipe (in a forked child; its own children find nothing to close)."""
        fds, self._fds = self._fds, ()
        for fd in fds:
            os.close(fd)
        self._handover.close()

    @protected
    def _read(self) -> None:
        decoder = self._decoder
        space = decoder.space()
        try:
            if space is not None:
                count = os.readv(self._fd, [space])
                self.ended = not count
                self._records.extend(map(records.decode, decoder.filled(count)))
            else:
                data = os.read(self._fd, _READ)
                self.ended = not data
                self._records.extend(map(records.decode, decoder.feed(data)))
        except BlockingIOError:
            return
