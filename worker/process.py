"""What makes a process a good worker, before any of the user's code runs.

Its own process group, so that an interrupt reaches the user's children and nothing else. No life
after its parent: the kernel of the operating system ends it when the zygote goes. Its descriptors 1
and 2 are pipes that the supervisor reads; descriptor 0 is empty.
"""

from __future__ import annotations

import ctypes
import faulthandler
import io
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..shared.signals import STACK_SIGNAL

if TYPE_CHECKING:
    from .options import Descriptors

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_GET_NAME = 1, 15, 16
_OOM_SCORE = 500  # of 1000: as if it used half of the memory more than it does


def settle(descriptors: Descriptors, parent: int) -> None:
    """Arrange this process. Exits at once if the parent has already gone."""
    os.setpgid(0, 0)
    die_with_parent(parent)
    volunteer()
    try:
        os.getcwd()  # noqa: PTH109 - only whether there is one
    except FileNotFoundError:  # it was deleted; IPython would refuse to start
        os.chdir(os.path.expanduser("~"))  # noqa: PTH111
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(descriptors.stdout, 1)
    os.dup2(descriptors.stderr, 2)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # The supervisor reads this pipe: when this process is gone, or when it asks where it is stuck.
    os.set_blocking(descriptors.crash, False)
    faulthandler.enable(descriptors.crash, all_threads=True)
    faulthandler.register(STACK_SIGNAL, descriptors.crash, all_threads=True)
    for name, fd in (("__stdout__", 1), ("__stderr__", 2)):
        raw = io.FileIO(fd, "w", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw, 1), "utf-8", "backslashreplace", write_through=True
        )
        setattr(sys, name, stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    setattr(sys, "__stdin__", sys.stdin)  # noqa: B010 - typed as final


def leave_crash_pipe(fd: int) -> None:
    """Let a forked child tell of its own crash on stderr: the pipe is for the worker's."""
    # False in a grandchild, whose parent has done all this.
    if faulthandler.unregister(STACK_SIGNAL):  # type: ignore[func-returns-value]
        faulthandler.enable(2, all_threads=True)
        os.close(fd)


def die_with_parent(parent: int) -> None:
    """Have the operating system end this process with its parent (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the call
        os._exit(0)


def volunteer(score: int = _OOM_SCORE) -> None:
    """Have the operating system end this process first, if it has to: never the supervisor."""
    with suppress(OSError):  # another system, or a sandbox
        Path("/proc/self/oom_score_adj").write_text(str(score), encoding="ascii")


def rename(name: bytes) -> bytes:
    """Give this process another name (15 bytes at most); give the old one (Linux)."""
    library = ctypes.CDLL(None)
    before = ctypes.create_string_buffer(16)
    library.prctl(_PR_GET_NAME, before)
    library.prctl(_PR_SET_NAME, name)
    return before.value


def forget_multiprocess() -> None:
    """Let the user's own use of ``multiprocess`` begin as in a main process, and with dill."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "multiprocess"]:
        del sys.modules[name]
