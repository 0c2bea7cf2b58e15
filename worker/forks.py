"""What is to be done in a process that the user's code forks, and not in a snapshot of the worker.

Both are made by the same system call, whose hooks cannot tell them apart.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_making_snapshot = False


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
