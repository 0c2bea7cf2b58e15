"""sys.stdout and sys.stderr of the worker: every write is a record at once.

Nothing is buffered here, so nothing can be lost when the interpreter dies between a write and a
flush (G18), and nothing can change places. The supervisor joins what belongs together.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, cast

from ..shared.records import Kind
from .channel import ENCODING, PIECE

if TYPE_CHECKING:
    from .channel import Sender
    from .context import Current


class Stream(io.TextIOBase):
    """A text stream that writes records, and in a forked child plain bytes to its descriptor."""

    encoding = "utf-8"
    errors = "surrogatepass"
    line_buffering = True
    write_through = True

    def __init__(self, name: str, fd: int, sender: Sender, current: Current) -> None:
        self.name = f"<{name}>"
        self.mode = "w"
        self._fd = fd
        self._kind = Kind.STDOUT if name == "stdout" else Kind.STDERR
        self._sender = sender
        self._print, self._get_request = sender.print, current.get
        self._interrupts = sender.interrupts
        # Bytes go to the descriptor, which is captured: they stand where they were written.
        self.buffer = io.FileIO(fd, "w", closefd=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} of a Bulkhead worker>"

    def write(self, text: str) -> int:
        """Write text; it has left this process when the call returns."""
        __tracebackhide__ = True
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            number = self._get_request().number
            if len(text) > PIECE:
                printed = self._sender.print_long(self._kind, number, text)
            else:
                printed = self._print(self._kind, number, text.encode("utf-8", "surrogatepass"))
            if not printed:
                _write_all(self._fd, text.encode(*ENCODING))
            elif self._interrupts.remembered:
                self._interrupts.deliver()
        return len(text)

    def fileno(self) -> int:
        """Give the captured descriptor: what a child writes there comes out in its place."""
        return self._fd

    def isatty(self) -> bool:
        """Tell that this is no terminal."""
        return False

    def writable(self) -> bool:
        """Tell that this stream can be written to."""
        return True

    def flush(self) -> None:
        """Do nothing: there is nothing to flush."""

    def close(self) -> None:
        """Do nothing: other code still prints here."""

    # What ipykernel's streams have, and libraries call.

    def set_parent(self, parent: object) -> None:
        """Do nothing: whose output it is follows from who writes it."""

    def _is_master_process(self) -> bool:
        return self._sender.is_ours()


def as_text(stream: Stream) -> io.TextIOWrapper:
    """Pass a stream where the type checker wants what ``sys.stdout`` usually is."""
    return cast("io.TextIOWrapper", stream)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
