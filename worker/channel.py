"""The worker's side of the one pipe: whole records out.

Any thread may send; one lock, one frame at a time. A signal handler or a finalizer can run in
the middle of a frame and print something: that record is set aside and written after the frame. A
process that the user's code forked has the same descriptors and must not use them: the sender looks
each time whether it is that (G38).

Each record says how many bytes were written to descriptors 1 and 2 before it, so that the
supervisor can put the output of C code and of children in its place. What the C library still holds
in its own buffer counts as written: it is flushed first. Only ``stdout`` is; ``fflush(NULL)`` takes
the lock of every open file, and hangs if a thread of the user's waits for input on one.
"""

from __future__ import annotations

import fcntl
import os
import termios
import threading
from array import array
from collections import deque
from typing import TYPE_CHECKING

from ..shared import records
from ..shared.ledger import Slot
from ..shared.records import Kind
from ..shared.spool import LONGEST, MESSAGES
from ..shared.tuples import NamedTuple
from .c_stdout import flusher
from .forks import mark
from .stacks import protected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..shared.frames import Buffer
    from ..shared.handover import Handover
    from ..shared.ledger import Ledger
    from ..shared.spool import Writer
    from .interrupts import Interrupts

ENCODING = ("utf-8", "surrogatepass")
PIECE = LONGEST // 4
"""Characters of the longest text that is sent in one piece: at most four bytes each."""

_IOV = 512  # buffers in one system call; the limit is 1024 on the systems we know
_READ = 1 << 16  # more at a time would be memory fresh from the system, each time
_ioctl, _FIONREAD = fcntl.ioctl, termios.FIONREAD
_SLEEPS, _SPOOLED = int(Slot.SLEEPS), int(Slot.SPOOLED)


class _Item(NamedTuple):
    """A record that waits to be sent."""

    kind: Kind
    number: int
    parts: Sequence[Buffer]


class _Frame:
    """Frames that have been begun, and have to be finished whatever happens."""

    def __init__(self, items: Sequence[_Item], pieces: list[Buffer], spooled: int) -> None:
        self.items = items
        self.spooled = spooled
        self._pieces = pieces
        self._size = sum(map(len, pieces))
        self._written: list[int] = []

    @property
    def begun(self) -> bool:
        """Tell whether some of it has been written."""
        return bool(self._written)

    def write(self, fd: int) -> None:
        """Write what is left. If an exception comes out of it, call it again."""
        while (done := sum(self._written)) < self._size:
            # One call in C notes what another one has written: no handler can run in between,
            # and bytes that were written are never forgotten, nor written twice.
            self._written.extend(map(os.writev, (fd,), (self._left(done),)))

    def _left(self, done: int) -> list[Buffer]:
        """Give the pieces after the first ``done`` bytes, as many as one system call takes."""
        left: list[Buffer] = []
        for piece in self._pieces:
            if done >= len(piece):
                done -= len(piece)
                continue
            left.append(memoryview(piece)[done:] if done else piece)
            done = 0
            if len(left) == _IOV:
                break
        return left


class Sender:
    """Write records to the one pipe."""

    def __init__(
        self,
        fd: int,
        captured: tuple[int, int],
        ledger: Ledger,
        spool: Writer,
        handover: Handover,
        interrupts: Interrupts,
    ) -> None:
        """Take the pipe, and descriptors of our own of the pipes behind descriptors 1 and 2.

        The user's code may put something else at 1 and 2, and what is counted must not change.
        """
        self._fd = fd
        self._captured = captured
        self._fds: tuple[int, ...] = (fd, *captured)  # to be closed
        self._ledger = ledger
        self.interrupts = self._interrupts = interrupts
        self._is_ours = mark()
        self._lock = threading.RLock()
        self._writing = False
        self._waiting_items: deque[_Item] = deque()
        self._spool = spool
        self._handover = handover
        self._marked = 0  # how far text was spooled when the newest record was written
        # Stream and request of what was spooled last, if that is text without its newline.
        self._last: tuple[Kind, int] | None = None
        self._size = array("i", [0])  # filled by the system
        self._woken = -1  # the sleep of the supervisor from which it was woken
        self._held: _Item | None = None
        self._frame: _Frame | None = None  # begun, and perhaps not whole yet
        self.flush = flusher(captured[0])
        """Write out what C code has printed and the C library still holds."""

    def begin_again(self) -> None:
        """Begin with new pipes, in a process that has become the worker."""
        self._is_ours = mark()
        self._marked, self._woken = 0, -1
        self._last = None
        self._held = self._frame = None
        self._waiting_items.clear()
        self.flush = flusher(self._captured[0])

    def is_ours(self) -> bool:
        """Tell whether this process is the worker, and not a child that was forked from it."""
        return bool(self._is_ours())

    def send(self, kind: Kind, number: int, *parts: Buffer) -> None:
        """Write one record. Does nothing in a forked child, or once the supervisor is gone."""
        __tracebackhide__ = True
        if kind not in MESSAGES or not self._spool_message(kind, number, parts):
            self._send(kind, number, parts)
        self._interrupts.deliver()

    @protected
    def print(self, kind: Kind, number: int, text: bytes) -> bool:
        """Send text: a record like any other, but by way of the spool where it can be.

        Gives False, and does nothing, in a forked child.
        """
        if not self._is_ours():
            return False
        with self._lock:
            # Nothing in the spool may pass what waits: a signal handler has said it and raised.
            waits = self._writing or self._held or self._frame or self._waiting_items
            if waits or len(text) > LONGEST:
                self._send(kind, number, (text,))
                return True
            self._writing = True
            try:
                if text == b"\n" and self._last == (kind, number):  # it ends the same print
                    spooled = self._spool.end_line()
                    self._last = None
                else:
                    self.flush()
                    marks = self._ledger.written(self._waiting)
                    self._last = None
                    spooled = self._spool.append(kind, number, marks, text)
                    if spooled and not text.endswith(b"\n"):
                        self._last = (kind, number)
            finally:
                self._writing = False
            if not spooled:
                self._send(kind, number, (text,))
            elif self._ledger.slots[_SLEEPS] != self._woken or self._waiting_items:
                self._follow()
        return True

    @protected
    def print_long(self, kind: Kind, number: int, text: str) -> bool:
        """Send text of any length, as ``print``: piece by piece, and nothing comes in between.

        In one piece it would be in memory that is fresh from the system, and be copied about there,
        in both processes.
        """
        with self._lock:
            pieces = (text[at : at + PIECE] for at in range(0, len(text), PIECE))
            return all(self.print(kind, number, each.encode(*ENCODING)) for each in pieces)

    @protected
    def _spool_message(self, kind: Kind, number: int, parts: Sequence[Buffer]) -> bool:
        """Send a message by way of the spool; give False, and do nothing, where that cannot be."""
        if not self._is_ours():
            return True
        if sum(map(len, parts)) > LONGEST:
            return False
        with self._lock:
            if self._writing or self._held or self._frame or self._waiting_items:
                return False
            self._writing = True
            try:
                record = self._placed(kind, number, parts)
                spooled = self._spool.append_record(kind, record)
            finally:
                self._writing = False
            if spooled and (self._ledger.slots[_SLEEPS] != self._woken or self._waiting_items):
                self._follow()
        return spooled

    def _placed(self, kind: Kind, number: int, parts: Sequence[Buffer]) -> bytes:
        """Make a record for the spool, with its place among the captured bytes of this moment."""
        self.flush()
        record = records.whole(kind, number, parts, self._ledger.written(self._waiting))
        self._last = None
        return record

    @protected
    def _follow(self) -> None:
        """Wake the supervisor if it sleeps, and write what a signal handler said meanwhile."""
        if (asleep := self._ledger.slots[_SLEEPS]) != self._woken:
            self._woken = asleep
            self._send(Kind.SPOOLED, 0, ())
        elif self._waiting_items:
            self._resume()

    @protected
    def _resume(self) -> None:
        """Write what waits."""
        self._writing = True
        try:
            self._drain()
        except BrokenPipeError:
            self._waiting_items.clear()  # nobody listens any more; our end is near
        finally:
            self._writing = False

    def hold(self, kind: Kind, number: int, *parts: bytes) -> None:
        """Keep back that a request begins: more is to be said of it soon, and goes along."""
        self._held = _Item(kind, number, parts)

    def release(self) -> None:
        """Send what was kept back, without waking the supervisor: nothing may come for a while.

        It looks by itself until it has seen a request begin.
        """
        if self._is_ours():
            self._release()

    @protected
    def _release(self) -> None:
        with self._lock:
            held = self._held
            if held is None or self._spool_beginning(held, *held):
                return
            if self._held is held:
                self._held = None
                self._send(*held)
            else:
                self._resume()

    def show_code(self, number: int, content: bytes) -> None:
        """Send the execute_input of a cell, with its beginning if that was kept back."""
        __tracebackhide__ = True
        if self._is_ours():
            self._show_code(number, content)
        self._interrupts.deliver()

    @protected
    def _show_code(self, number: int, content: bytes) -> None:
        with self._lock:
            held = self._held
            if held is not None and held.number == number:
                parts = *held.parts, content
                if self._spool_beginning(held, Kind.BEGIN_CELL, number, parts):
                    return
            # Something was said meanwhile, or it is a subshell's, which keeps nothing back.
            self._send(Kind.PUBLISH, number, (b"execute_input", content, b"{}"))

    def _spool_beginning(
        self, held: _Item, kind: Kind, number: int, parts: Sequence[Buffer]
    ) -> bool:
        """Put a record into the spool in place of what was held back; give False if that cannot be.

        If what was held back is not there afterwards, it waits to be written.
        """
        if self._writing or self._frame or self._waiting_items:
            return False
        self._writing = True
        try:
            record = self._placed(kind, number, parts)
            if len(record) > LONGEST or self._held is not held:
                return False  # a signal handler has said something, and with it that
            before = self._ledger.slots[_SPOOLED]
            self._held = None
            try:
                spooled = self._spool.append_record(kind, record)
            finally:
                # Also if a handler raises: without its beginning, the request could never end.
                if self._ledger.slots[_SPOOLED] == before:
                    self._waiting_items.appendleft(held)
        finally:
            self._writing = False
        if spooled and self._waiting_items:  # said by a signal handler, on top of this
            self._resume()
        return spooled

    def close(self) -> None:
        """Let go of the pipes (in a forked child; its own children find nothing to close)."""
        fds, self._fds = self._fds, ()
        for fd in fds:
            os.close(fd)
        self._handover.close()

    @protected
    def _send(self, kind: Kind, number: int, parts: Sequence[Buffer]) -> None:
        if not self._is_ours():
            return
        with self._lock:
            if self._held is not None:
                held, self._held = self._held, None
                self._waiting_items.append(held)
            self._waiting_items.append(_Item(kind, number, parts))
            if self._writing:
                return  # this very thread is in the middle of a frame, further up its stack
            self._resume()

    def _drain(self) -> None:
        """Write what waits, beginning with what is left of a frame that was cut short.

        A signal handler of the user's may raise at any bytecode here (a time-out by SIGALRM does).
        Each line leaves a state from which the next call goes on.
        """
        waiting = self._waiting_items
        while True:
            frame = self._frame
            if frame is None:
                if not waiting:
                    return
                try:
                    frame = self._frame = self._begin(waiting)
                except BaseException:
                    self._drop_newest()
                    raise
            try:
                frame.write(self._fd)
            except BaseException:
                if not frame.begun:  # nothing of it is in the pipe
                    if waiting and waiting[-1] is frame.items[-1]:
                        self._drop_newest()
                    self._frame = None
                raise
            self._marked, self._last = frame.spooled, None
            for item in frame.items:
                if waiting and waiting[0] is item:
                    waiting.popleft()
            self._frame = None

    def _drop_newest(self) -> None:
        """Let go of what its sender is told was not sent. A request's beginning has none."""
        if self._waiting_items[-1].kind is not Kind.BEGIN:
            self._waiting_items.pop()

    def _begin(self, waiting: deque[_Item]) -> _Frame:
        """Make a frame of each record that waits, all of them for one system call."""
        self.flush()
        marks = self._ledger.written(self._waiting)
        items = tuple(waiting)
        pieces: list[Buffer] = []
        spooled = self._ledger[Slot.SPOOLED]
        if spooled != self._marked:
            pieces += records.encode(Kind.SPOOLED, spooled)
        for item in items:
            if item.kind is not Kind.SPOOLED:
                parts = records.hand_over(item.kind, item.parts, self._handover)
                pieces += records.encode(item.kind, item.number, parts, marks)
        return _Frame(items, pieces, spooled)

    def _waiting(self) -> tuple[int, int]:
        """Count the bytes that wait in the captured pipes."""
        out, err = self._captured
        size = self._size
        _ioctl(out, _FIONREAD, size)
        waiting = size[0]
        _ioctl(err, _FIONREAD, size)
        return waiting, size[0]
