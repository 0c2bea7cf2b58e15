"""What a row's trial is given: one kernel, started as often as it likes, and ended for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import tree
from .client import Client
from .failures import FailedError
from .process import Process, connect

if TYPE_CHECKING:
    from pathlib import Path

    import zmq

    from .kernels import Kernel


class Live:
    """A running kernel and its client."""

    def __init__(
        self, process: Process, client: Client, file: Path, fields: dict[str, Any]
    ) -> None:
        self.process = process
        self.client = client
        self.file = file
        self.fields = fields

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self.process.pid

    def cpu(self) -> float:
        """Give the seconds of CPU of all its processes so far."""
        return tree.cpu(self.pid)


class Trial:
    """One trial of one kernel."""

    def __init__(
        self, kernel: Kernel, context: zmq.Context[Any], folder: Path, *, quick: bool
    ) -> None:
        self.kernel = kernel
        self.context = context
        self.folder = folder
        self.quick = quick
        self.remarks: list[str] = []
        """What is wrong although there is a figure: output that was lost."""
        self._clients: list[Client] = []
        self._processes: list[Process] = []
        self._files: list[Path] = []

    def some(self, many: int, few: int) -> int:
        """Choose how many: fewer for a quick look."""
        return few if self.quick else many

    def address(self) -> tuple[Path, dict[str, Any]]:
        """Choose ports and a key."""
        file, fields = connect(self.folder)
        self._files.append(file)
        return file, fields

    def client(self, fields: dict[str, Any]) -> Client:
        """Give a client, which may come before its kernel."""
        client = Client(self.context, fields)
        self._clients.append(client)
        return client

    def spawn(self, file: Path, client: Client) -> Process:
        """Start the kernel."""
        process = Process(self.kernel, file, self.folder)
        self._processes.append(process)
        client.pidfd = process.pidfd
        return process

    def start(self) -> Live:
        """Start the kernel, and give it once a cell has run, with a client that hears all of it.

        A kernel may answer before its interpreter is there: the rows of the start measure that.
        """
        file, fields = self.address()
        client = self.client(fields)
        process = self.spawn(file, client)
        try:
            client.listen()
            client.execute("pass")
        except FailedError as error:
            raise FailedError(f"at the start: {error}") from None
        return Live(process, client, file, fields)

    def close(self) -> None:
        """End what was started."""
        for client in self._clients:
            client.close()
        for process in self._processes:
            process.close()
        for file in self._files:
            file.unlink(missing_ok=True)
