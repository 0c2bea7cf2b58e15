"""The supervisor's side of the zygote: orders out, new workers and exit codes in."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

from ..shared import samples
from ..shared.tuples import NamedTuple
from ..worker.zygote import ADOPT, ORDER, REAP, START
from . import pipes
from .errors import WorkerStartError

if TYPE_CHECKING:
    from .events import Worker
    from .pipes import Ends


class Reaped(NamedTuple):
    """What the operating system tells of a worker that has ended."""

    exitcode: int
    """Negative for a signal."""
    peak: int
    """The most memory it had resident, in bytes, since somebody reset that."""
    user: int
    """User time of the process and of ended children, in microseconds."""
    system: int
    """System time of the same."""


class Zygote:
    """Start and reap workers. Used by Control alone."""

    def __init__(self, control: socket.socket, pid: int) -> None:
        self._control = control
        self.pid = pid
        self.samples = samples.create()
        """Descriptor of the block of samples: one for all workers."""
        self._asked: tuple[int, Ends] | None = None

    def fileno(self) -> int:
        """Give the descriptor that is readable when a worker was started, or the zygote is gone."""
        return self._control.fileno()

    def start(self, generation: int) -> None:
        """Order a worker; ``started`` gives it once the descriptor is readable."""
        ends = pipes.create(self.samples)
        self._asked = generation, ends
        self._order(ends)

    def started(self) -> tuple[Worker, Ends]:
        """Give the worker that was ordered, and our ends of what it has.

        Raises OSError if there could be no process for it, WorkerStartError if the zygote is gone.
        """
        assert self._asked is not None, "no worker was ordered"
        (generation, ends), self._asked = self._asked, None
        pid, pidfd = self._hear(ends)
        return pipes.attach(ends, generation, pid, pidfd), ends

    def start_now(self, ends: Ends) -> tuple[int, int]:
        """Start a worker with these ends, and wait for it; give its process id and a pidfd.

        Raises as ``started`` does. No other worker may be on order.
        """
        assert self._asked is None, "a worker is on order"
        self._order(ends)
        return self._hear(ends)

    def _order(self, ends: Ends) -> None:
        try:
            socket.send_fds(self._control, [ORDER.pack(START, 0, 0, 0, 0)], ends.worker)
        except OSError as error:
            raise WorkerStartError(f"the zygote (pid {self.pid}) is gone: {error}") from error
        pipes.close_worker_ends(ends)

    def _hear(self, ends: Ends) -> tuple[int, int]:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, ORDER.size, 1)
        except ConnectionError:
            data, fds = b"", []
        order, pid, *_ = self._unpack(data)
        assert order == START
        if pid < 0:
            for fd in ends[:-1]:
                os.close(fd)
            raise OSError(-pid, os.strerror(-pid))
        os.set_inheritable(fds[0], False)  # a received descriptor is, unlike all others
        return pid, fds[0]

    def adopt(self, pid: int) -> None:
        """Let it know of a worker that it has not started: its end will be asked for."""
        self._control.sendall(ORDER.pack(ADOPT, pid, 0, 0, 0))

    def reap(self, pid: int) -> Reaped:
        """Reap a worker whose process has ended."""
        self._control.sendall(ORDER.pack(REAP, pid, 0, 0, 0))
        order, *numbers = self._unpack(self._control.recv(ORDER.size))
        assert order == REAP
        return Reaped(*numbers)

    def kill(self) -> None:
        """End a zygote that does not answer."""
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let the zygote end, and reap it. It takes every worker that is left with it."""
        self._control.close()
        os.close(self.samples)
        os.waitpid(self.pid, 0)

    def _unpack(self, data: bytes) -> tuple[bytes, int, int, int, int]:
        if len(data) != ORDER.size:
            raise WorkerStartError(f"the zygote (pid {self.pid}) is gone; no worker can be started")
        unpacked: tuple[bytes, int, int, int, int] = ORDER.unpack(data)
        return unpacked
