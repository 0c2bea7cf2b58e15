"""Processes that are to be the next worker, and are none yet."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from ..shared.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .pipes import Ends
    from .zygote import Zygote


class Successor(NamedTuple):
    """A process, and what connects us with it."""

    pid: int
    ends: Ends

    def end(self, zygote: Zygote) -> None:
        """End it: it does not become the worker."""
        close_all(self.ends[:-1])
        end_group(self.pid, zygote)


def end_group(pid: int, zygote: Zygote) -> None:
    """End a process that the zygote knows of, with what it has started, and reap it."""
    for kill in (os.killpg, os.kill):  # it may not lead its group yet
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    zygote.reap(pid)


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors, each once."""
    for fd in set(fds):
        with suppress(OSError):
            os.close(fd)
