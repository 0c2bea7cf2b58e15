"""One kernel as VS Code has it in raw mode: spawned, nudged, asked, interrupted, disposed of.

The ways are VS Code's. It starts the command of the kernelspec itself and watches that process
only. It asks for kernel_info on control and on shell, and again every half second, until one is
answered and anything came on IOPub. It sends one cell at a time. It interrupts with SIGINT to the
one process, or, where the spec says 'message', with an interrupt_request on the *shell* channel. It
restarts by ending all descendants, then the process, and starting another one on other ports.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psutil
import zmq

from benchmarks.client import Client, cell
from benchmarks.failures import FailedError
from benchmarks.messages import Incoming
from benchmarks.process import Process, connect

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.kernels import Kernel

_AGAIN = 0.5  # seconds until a kernel that does not answer is asked again


class StuckError(FailedError):
    """Something that was asked for did not come within the deadline."""


class Session:
    """A kernel, its sockets, and what came on them."""

    def __init__(self, kernel: Kernel, folder: Path, deadline: float) -> None:
        self.kernel = kernel
        self.deadline = deadline
        self.left = 0  # processes that were still there after it was disposed of
        self._folder = folder
        self._context: zmq.Context[Any] = zmq.Context()
        self._process: Process | None = None
        self._client: Client | None = None
        self._poller = zmq.Poller()
        self._seen: dict[str, tuple[str, bool, str]] = {}  # of cells that may not be over
        self.start()

    # Its life.

    def start(self) -> None:
        """Spawn it and wait until it is ready. Raises StuckError."""
        file, fields = connect(self._folder)
        self._process = Process(self.kernel, file, self._folder)
        self._client = client = Client(self._context, fields)
        client.iopub = iopub = client.subscribe_at_once()
        self._poller = zmq.Poller()
        for socket in (iopub, client.shell, client.control):
            self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._process.pidfd, zmq.POLLIN)
        self._nudge()

    def _nudge(self) -> None:
        client = self._client
        assert client is not None
        answered = published = False
        end = time.monotonic() + self.deadline
        while not (answered and published):
            if time.monotonic() > end:
                raise StuckError("never ready")
            client.send("kernel_info_request", {}, on_control=True)
            client.send("kernel_info_request", {})
            again = time.monotonic() + _AGAIN
            while not (answered and published) and time.monotonic() < again:
                for channel, message in self._receive(again):
                    answered |= message.msg_type == "kernel_info_reply"
                    published |= channel == "iopub"

    def dispose(self) -> None:
        """End all that it started, then itself, and count what is left. May be called again."""
        process, client = self._process, self._client
        self._process = self._client = None
        if process is None or client is None:
            return
        family = self._family(process)
        for each in family[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.terminate()
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        with contextlib.suppress(FailedError):
            process.wait(self.deadline)
        _, alive = psutil.wait_procs(family[1:], timeout=1)
        for each in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.left += each.status() != psutil.STATUS_ZOMBIE  # that waits for init
                each.kill()
        process.close()
        client.close()

    def restart(self) -> None:
        """Do what the button Restart does. Raises StuckError."""
        self.dispose()
        self.start()

    def close(self) -> None:
        """End it, and let go of it."""
        self.dispose()
        self._context.term()

    # What VS Code does to it.

    def send(self, code: str, *, hidden: bool = False) -> str:
        """Send a cell of the user's, or a hidden one of VS Code's; give its id."""
        assert self._client is not None
        ours = {"store_history": False, "stop_on_error": False} if hidden else {}
        content = cell(code) | {"allow_stdin": True} | ours
        return self._client.send("execute_request", content)

    def finish(self, msg_id: str, until: str = "") -> tuple[str, str]:
        """Wait for a cell's reply and idle, or for text on stdout. Raises StuckError.

        Gives the status, or the name of the error, and the text.
        """
        end = time.monotonic() + self.deadline
        # What comes in one breath with the text may be the cell's end: it is kept for later.
        status, idle, text = self._seen.pop(msg_id, ("", False, ""))
        while not (status and idle):
            late = time.monotonic() > end
            messages = self._receive(end)
            if late and not messages:  # what waits has come in time: it was we who were stopped
                raise StuckError("no idle" if status else "no reply" if idle else "no end")
            for channel, message in messages:
                if message.parent_id != msg_id:
                    continue
                content = message.content
                if channel == "shell":
                    status = content.get("ename") or content["status"]
                elif message.msg_type == "stream":
                    text += content["text"]
                elif message.msg_type == "status":
                    idle |= content["execution_state"] == "idle"
            if until and until in text:
                self._seen[msg_id] = status, idle, text
                return "", text
        return status, text

    def interrupt(self) -> None:
        """Do what the button Stop does."""
        assert self._process is not None
        assert self._client is not None
        if self.kernel.interrupt == "message":
            self._client.send("interrupt_request", {})
        else:
            os.kill(self._process.pid, signal.SIGINT)

    def freeze(self) -> list[psutil.Process]:
        """Stop all its processes, as a laptop that is closed does; give them."""
        assert self._process is not None
        family = self._family(self._process)
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.suspend()
        end = time.monotonic() + self.deadline
        while not all(map(_is_stopped, family)):
            if time.monotonic() > end:
                raise FailedError("cannot be stopped")
        return family

    def _family(self, process: Process) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def _receive(self, end: float) -> list[tuple[str, Incoming]]:
        """Receive what there is, or will be soon. Raises StuckError if the kernel has ended."""
        client, process = self._client, self._process
        assert client is not None
        assert process is not None
        ready = dict(self._poller.poll(max(1, int((end - time.monotonic()) * 1000))))
        found = []
        for channel in ("iopub", "shell", "control"):
            socket = getattr(client, channel)
            while socket in ready and socket.poll(0):
                found.append((channel, Incoming(socket.recv_multipart())))
        if not found and process.pidfd in ready:
            raise StuckError("the kernel ended")
        return found


def thaw(family: list[psutil.Process]) -> None:
    """Let stopped processes go on."""
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.resume()


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
