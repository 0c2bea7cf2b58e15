"""What is to be done in a process that the user's code forks, and not in a snapshot of the worker.

Both are made by the same system call, whose hooks cannot tell them apart.
"""

from __future__ import annotations

import mmap
import os
import sys
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_making_snapshot = False
_WIPE_ON_FORK = 18  # of madvise; Python does not name it


def mark() -> Callable[[], int]:
    """Mark this process; what is given tells whether it is still this one, and no child of it.

    A process id is asked of the system, at each print. A page of memory that the system wipes in
    whatever is forked (Linux) tells the same, to C code's children, too, and ten times as fast.
    """
    with suppress(OSError):
        if sys.platform == "linux":
            page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            page.madvise(_WIPE_ON_FORK)
            page[0] = 1
            return partial(page.__getitem__, 0)
    ours = os.getpid()
    return lambda: os.getpid() == ours


def in_child(action: Callable[[], object]) -> None:
    """From now on, do something in each forked process that is no snapshot."""

    def act() -> None:
        if not _making_snapshot:
            action()

    os.register_at_fork(after_in_child=act)


@contextmanager
def making_snapshot() -> Iterator[None]:
    """Take what is forked here for a snapshot."""
    global _making_snapshot  # noqa: PLW0603 - hooks are the process's, and so is this
    _making_snapshot = True
    try:
        yield
    finally:
        _making_snapshot = False
