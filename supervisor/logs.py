"""The log on stderr, which must never hold up a thread of the supervisor."""

from __future__ import annotations

import logging
import os
import select
from contextlib import suppress

_STDERR = 2
_PIECE = 4096  # bytes that a pipe takes at once if it is writable at all


class NeverWaiting(logging.Handler):
    """Writes to stderr what it takes, and drops the rest.

    Whoever started the kernel may have put a pipe there that nobody reads. A kernel that waits for
    it would hang with all its threads, because they share the log.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or as much of it as goes out at once."""
        data = (self.format(record) + "\n").encode("utf-8", "replace")
        poller = select.poll()
        poller.register(_STDERR, select.POLLOUT)
        with suppress(OSError):  # closed, or its reader is gone
            while data and poller.poll(0):
                data = data[os.write(_STDERR, data[:_PIECE]) :]
