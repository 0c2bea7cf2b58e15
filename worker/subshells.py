"""Subshells: threads that serve requests of their own while the main shell is busy (JEP 91).

There are none until a client has made one, and each is there until its client deletes it: a worker
without subshells has one thread. The supervisor orders a subshell by a packet and a signal, because
the main thread may run a cell for hours; its handler does next to nothing. From then on the
subshell has a pipe of its own, from which its thread reads as the main thread does from the main
one, and which ends when it is to end.

A thread is not started by the handler itself: it may stand in the middle of ``threading``, which
has a lock. A second thread, which Python's threading knows nothing of and which is gone at once,
does it.
"""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from ..shared.handover import Handover, HandoverError
from ..shared.ledger import Slot
from ..shared.orders import INTERRUPT, OPEN
from ..shared.records import Kind
from ..shared.signals import LOOK_SIGNAL
from .context import NOBODY
from .here import here
from .loop import Loop
from .receiver import Receiver
from .recovery.threads import SUBSHELL
from .stacks import protected
from .strikes import Strikes

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ..shared.handover import Handed
    from ..shared.ledger import Ledger
    from ..shared.orders import Orders
    from .allocation import Allocation
    from .channel import Sender
    from .context import Request
    from .interrupts import Interrupts
    from .loop import Parts

_CANCEL_DEADLINE = 2.0
"""Seconds after which tasks of a subshell that has ended are given up."""


class Subshells:
    """All subshells of this worker. Used by the main thread, but for ``_run``."""

    def __init__(
        self,
        orders: Orders,
        interrupts: Interrupts,
        sender: Sender,
        allocation: Allocation,
        ledger: Ledger,
    ) -> None:
        self._orders = orders
        self._ledger = ledger
        self._interrupts = interrupts
        self._sender = sender
        self._allocation = allocation
        self._beginning: list[_thread.LockType] = []  # released once a thread has begun
        self._ending: list[threading.Thread] = []  # that have nothing left to do
        self._all: dict[threading.Thread, Receiver | None] = {}
        self._strikes: set[Strikes] = set()
        self._meant: set[int] = set()  # numbers of requests that were interrupted

    def install(self, parts: Parts, after: Callable[[Request], None]) -> None:
        """Take orders from here on.

        ``after`` is called by a subshell's thread when a request of its own is over.
        """
        self._parts, self._after = parts, after
        signal.signal(LOOK_SIGNAL, self._look)

    def any_alive(self) -> bool:
        """Tell whether any thread is a subshell's."""
        self.settle()
        return bool(self._all)

    def any_busy(self) -> bool:
        """Tell whether the user's code runs in one."""
        return any(strikes.is_busy for strikes in list(self._strikes))

    def settle(self) -> None:
        """Let threads be there that were ordered, and be gone that have ended."""
        while self._beginning:
            self._beginning.pop().acquire()
        while self._ending:
            self._ending.pop().join()

    def leave(self) -> None:
        """Let go of the pipes, in a forked child: they are its parent's."""
        self._orders.close()
        self.begin_again()

    def begin_again(self) -> None:
        """Have none, in a forked process: their threads are not there."""
        for receiver in list(self._all.values()):
            if receiver is not None:
                receiver.close()
        for strikes in list(self._strikes):
            strikes.close()
        self._all.clear()
        self._beginning.clear()
        self._ending.clear()

    @protected
    def _look(self, _signum: int, frame: FrameType | None) -> None:
        """Handle LOOK_SIGNAL. An interrupt that comes meanwhile is seen to in the end."""
        __tracebackhide__ = True
        looks = self._ledger[Slot.LOOKS]
        while (order := self._orders.take()) is not None:
            if order.what == OPEN:
                self._open(order.number, order.requests)
            elif order.what == INTERRUPT:
                self._meant.add(order.number)
                for strikes in list(self._strikes):
                    strikes.strike(order.number)
        self._ledger[Slot.LOOKED] = looks
        self._interrupts.again(frame)

    def _open(self, number: int, requests: int) -> None:
        begun = _thread.allocate_lock()
        begun.acquire()
        self._beginning.append(begun)
        try:
            # A thread takes room of its own, for which the memory limit need not be asked.
            with self._allocation.lifted():
                _thread.start_new_thread(self._start, (number, requests, begun))
        except RuntimeError as error:  # there are too many threads
            begun.release()
            self._fail(number, requests, error)

    def _start(self, number: int, requests: int, begun: _thread.LockType) -> None:
        """Start the thread of a subshell; in a thread that is over then."""
        thread = threading.Thread(
            target=self._run, args=(number, requests), name=f"{SUBSHELL}{number}", daemon=True
        )
        NOBODY.own(thread)  # who asked for it is no cell, and this thread cannot be asked
        self._all[thread] = None
        try:
            thread.start()
        except RuntimeError as error:
            del self._all[thread]
            self._fail(number, requests, error)
        finally:
            begun.release()

    def _fail(self, number: int, requests: int, error: Exception) -> None:
        """Tell that a subshell cannot be; the supervisor answers for it."""
        os.close(requests)
        self._sender.send(Kind.LOG, 0, b"warning", f"no subshell can be started: {error}".encode())
        self._sender.send(Kind.SUBSHELL_ENDED, number)

    def _run(self, number: int, requests: int) -> None:
        """Be a subshell."""
        me = threading.current_thread()
        try:
            loop = asyncio.new_event_loop()
        except OSError as error:  # there are too many open files
            del self._all[me]
            self._fail(number, requests, error)
            return
        asyncio.set_event_loop(loop)
        strikes = Strikes(loop, self._interrupts.remembered, self._meant)
        receiver = Receiver(requests, _NoHandover(), strikes)
        self._all[me] = receiver
        self._strikes.add(strikes)
        try:
            _SubshellLoop(loop, receiver, strikes, self._parts, self._after).run()
        finally:
            _close(loop)
            self._strikes.discard(strikes)
            receiver.close()
            strikes.close()
            del self._all[me]
            self._ending.append(me)
            if not self._parts.shell.exit_now:  # else all of it ends, and the next one goes on
                self._sender.send(Kind.SUBSHELL_ENDED, number)


class _NoHandover(Handover):
    """Requests of subshells hold their buffers: the socket for big ones is the main shell's."""

    def __init__(self) -> None:
        self._fd = -1

    def take(self, handed: Handed) -> memoryview:
        """Refuse. Raises HandoverError."""
        raise HandoverError(f"a buffer of {handed.size} bytes is not in its record")


class _SubshellLoop(Loop):
    """Made by the thread of a subshell."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receiver: Receiver,
        strikes: Strikes,
        parts: Parts,
        after: Callable[[Request], None],
    ) -> None:
        # Not held back: another thread would send something else in between. Nor measured, nor
        # noted where all look: the process does other things at the same time.
        super().__init__(
            loop, receiver, strikes, parts, hold=parts.sender.send, ledger={}, meter=None
        )
        here.payload = []
        self._after = after

    def _rest(self, request: Request) -> None:
        self._after(request)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left in the loop of a subshell, and close it."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    with suppress(BaseException):  # of the user's tasks
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=_CANCEL_DEADLINE))
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
