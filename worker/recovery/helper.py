"""A forked process that does what may hang or kill."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, Self

from ...shared.activity import activity
from ..process import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[object], None]

IDLE = 1.5
"""Seconds in which a helper that does not hang does something."""


class Helper:
    """A forked process that does what may hang or kill, and tells of each step in a line."""

    def __init__(
        self,
        work: Callable[[Say], None],
        fd: int,
        end: int,
        patience: float,
    ) -> None:
        """Begin. ``fd`` is where its bytes appear, ``end`` what ends when nobody waits for us.

        After ``patience`` seconds without a byte it is taken to get nowhere.
        """
        self.why = "serializing it ended the process that did it"
        self._fd = fd
        self._end = end
        self._patience = patience
        self._lines: deque[bytes] = deque()
        self._rest = b""
        parent = os.getpid()
        self._hear, say = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _run(work, say, parent)
        os.close(say)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):  # the user's code has SIGCHLD ignored
            os.waitpid(self._pid, 0)
        os.close(self._hear)

    def hear(self, until: float) -> object:
        """Wait for what it says next; None if it says nothing in time, or ever again."""
        written, ran = self._written(), activity(self._pid)
        moved = time.monotonic()  # when it last wrote something
        while not self._lines:
            now = time.monotonic()
            if now >= until:
                self.why = "serializing it took too long"
                return None
            ready, _, _ = select.select([self._hear, self._end], [], [], min(until - now, IDLE))
            if self._end in ready:
                os._exit(0)  # nobody wants it any more; the helper ends with us
            if not ready:
                before, written, ran = (written, ran), self._written(), activity(self._pid)
                if written != before[0]:
                    moved = time.monotonic()
                elif ran == before[1] or time.monotonic() > moved + self._patience:
                    self.why = "serializing it came to a standstill"
                    return None
                continue
            data = os.read(self._hear, 1 << 16)
            if not data:
                return None
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines.extend(lines)
        return json.loads(self._lines.popleft())

    def _written(self) -> int:
        return os.fstat(self._fd).st_blocks


def _run(work: Callable[[Say], None], say: int, parent: int) -> NoReturn:
    """Be a helper."""
    try:
        die_with_parent(parent)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open(say, "w", encoding="ascii") as file:
            work(lambda told: print(json.dumps(told), file=file, flush=True))
    except BaseException:  # noqa: BLE001 - nothing of the donor's is to run here any further
        os._exit(1)
    os._exit(0)
