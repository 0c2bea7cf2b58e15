"""A kernel's process, started from its command as a manager does it, and surely ended."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import select
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import psutil

from .failures import FailedError

if TYPE_CHECKING:
    from pathlib import Path

    from .kernels import Kernel

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
_PORTS = range(10_000, 32_000)  # beneath what Linux gives away by itself


def connect(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Write a connection file with ports that are free now."""
    with contextlib.ExitStack() as stack:
        ports = {f"{name}_port": _free_port(stack) for name in CHANNELS}
    fields = {
        "transport": "tcp",
        "ip": "127.0.0.1",
        "signature_scheme": "hmac-sha256",
        "key": secrets.token_hex(16),
        **ports,
    }
    path = folder / f"kernel-{secrets.token_hex(4)}.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path, fields


def _free_port(stack: contextlib.ExitStack) -> int:
    """Choose a port that is free, and keep it until the stack is left.

    It is not one of those that the system gives away by itself: another program's connection could
    take it before the kernel does.
    """
    while True:
        held = stack.enter_context(socket.socket())
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        with contextlib.suppress(OSError):
            held.bind(("127.0.0.1", port))
            return port


class Process:
    """A running kernel, with all its processes."""

    def __init__(self, kernel: Kernel, connection_file: Path, folder: Path) -> None:
        """Start it, in ``folder``, with no user's files: figures must not depend on whose they are.

        It leads a session of its own and knows its parent, as with a Jupyter server.
        """
        home = {"IPYTHONDIR": str(folder / "ipython"), "JPY_PARENT_PID": str(os.getpid())}
        self._popen = subprocess.Popen(
            kernel.command(connection_file),
            cwd=folder,
            env={**os.environ, **home},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self.pidfd = os.pidfd_open(self.pid)

    def wait(self, seconds: float) -> None:
        """Wait for its end. Raises FailedError."""
        if not select.select([self.pidfd], [], [], seconds)[0]:
            raise FailedError(f"did not end in {seconds:g} s")
        self._popen.wait()

    def interrupt(self) -> None:
        """Send SIGINT to its process group, as a manager does."""
        os.killpg(self.pid, signal.SIGINT)

    def end(self) -> None:
        """End it and all that it started, and wait for that. May be called again."""
        family = [self.pid]
        if self._popen.returncode is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(self.pid).children(recursive=True)
                family += [child.pid for child in children]
        for pid in family:
            if pid != self.pid or self._popen.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def close(self) -> None:
        """End it, and let go of it."""
        self.end()
        os.close(self.pidfd)


def forbid_core_files() -> None:
    """Let no kernel that crashes write its memory to the disk: that would be measured."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
