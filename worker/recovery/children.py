"""Snapshots are children of the worker, and nobody but us is to notice.

``os.wait()`` waits for any child. A program that calls it until there is none left would wait for a
snapshot, which ends when the kernel does.
"""

from __future__ import annotations

import errno
import os
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_ANY = -1


class Children:
    """The snapshots that this process has made and not yet seen the end of."""

    def __init__(self) -> None:
        self._pids: set[int] = set()
        self._ended: dict[int, int] = {}
        self._waitpid = os.waitpid

    def add(self, pid: int) -> None:
        """Note a new one."""
        self._pids.add(pid)
        self._ended.clear()

    def forget(self) -> None:
        """Have none: this process is one itself."""
        self._pids.clear()

    def lives(self, pid: int) -> bool:
        """Tell whether a snapshot is there still."""
        self.reap()
        return pid in self._pids

    def exit_code(self, pid: int) -> int | None:
        """Tell how the newest one has ended, negative for a signal; None if nobody knows."""
        self.reap()
        return self._ended.get(pid)

    def reap(self) -> None:
        """Let those go that have ended."""
        for pid in list(self._pids):
            try:
                ended, status = self._waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                self._pids.discard(pid)
                continue
            if ended:
                self._pids.discard(pid)
                self._ended[pid] = os.waitstatus_to_exitcode(status)

    def hide(self) -> None:
        """Keep them from those who wait for any child."""
        waitpid, wait3, waitid = os.waitpid, os.wait3, os.waitid

        @wraps(waitpid)
        def waitpid_but_ours(pid: int, options: int, /) -> Any:
            return self._other(lambda: waitpid(pid, options), anybody=pid == _ANY)

        @wraps(os.wait)
        def wait_but_ours() -> Any:
            return self._other(lambda: waitpid(_ANY, 0), anybody=True)

        @wraps(wait3)
        def wait3_but_ours(options: int) -> Any:
            return self._other(lambda: wait3(options), anybody=True)

        @wraps(waitid)
        def waitid_but_ours(idtype: int, ident: int, options: int, /) -> Any:
            if idtype == os.P_ALL:
                self.reap()
            anybody = idtype == os.P_ALL
            return self._other(lambda: waitid(idtype, ident, options), anybody=anybody)

        os.waitpid, os.wait, os.wait3, os.waitid = (
            waitpid_but_ours, wait_but_ours, wait3_but_ours, waitid_but_ours,
        )  # fmt: skip

    def _other(self, wait: Callable[[], Any], *, anybody: bool) -> Any:
        while anybody and self._pids:
            if not children_of("self") - self._pids:
                raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
            result = wait()
            pid = getattr(result, "si_pid", None) or (result[0] if result else 0)
            if pid not in self._pids:
                return result
            self._pids.discard(pid)
        return wait()


def children_of(pid: int | str) -> set[int]:
    """List the children of a process, also those that have ended and were not waited for."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text(encoding="ascii").split()))
        except OSError:
            continue
    return found
