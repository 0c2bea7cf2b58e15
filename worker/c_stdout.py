"""What C code has printed and the C library still holds."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def flusher(captured: int) -> Callable[[], None]:
    """Make a function that flushes C's stdout, without giving up the GIL for it.

    It flushes only while descriptor 1 is the captured pipe, which the supervisor always reads. The
    user's code may have put a pipe of its own there, read by a thread of this very process; that
    thread could not run, and nothing could end the wait.
    """
    library = ctypes.PyDLL(None)
    name = "__stdoutp" if sys.platform == "darwin" else "stdout"
    try:
        stdout = ctypes.c_void_p.in_dll(library, name)
        fflush = library.fflush
    except (ValueError, AttributeError):  # a C library that does not export it
        return lambda: None
    pending = getattr(library, "__fpending", lambda _: 1)  # glibc and musl tell if there is any
    ours = os.fstat(captured).st_ino

    def flush() -> None:
        if pending(stdout):
            with suppress(OSError):  # descriptor 1 is closed
                if os.fstat(1).st_ino == ours:
                    fflush(stdout)

    return flush
