"""A notebook's way through the kernel of the environment that this code is in.

nbclient does the work. It is given the packaged spec on this very interpreter, so no kernelspec
needs to be installed, and the one that the notebook names does not count. A cell's failure is the
kernel's to tell, the death of the interpreter included. What the kernel cannot know (the cell takes
longer than its limit, a person wants to end the run, the kernel itself is gone) is added to the
cell here, in the same form.

Whoever ends a run wants to know where it was: the cell is interrupted, which makes it tell, and
given up only if that does not help.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_output

from . import resources
from . import spec as specs
from .channels import Client
from .errors import CommandError
from .outcomes import Failure, failure_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .outcomes import Outcome, Outcomes

READY = 60.0
"""Seconds from the start of the kernel to its first replies: start-up files may take a while."""
PATIENCE = 10.0
"""Seconds from the interrupt of a cell that takes too long to giving it up.

The kernel itself ends a cell that does not hear an interrupt, and tells where it was stuck. This is
a little longer, so that it can.
"""


class _Reason(NamedTuple):
    """Why a run ends with a cell, as a Jupyter error has it."""

    ename: str
    evalue: str


_DIED = _Reason("DeadKernelError", "The kernel's supervisor ended, and the kernel with it.")
_ENDED = _Reason("Interrupted", "The run was ended while this cell ran.")


class _StoppedError(Exception):
    """The run is to end here, and no cell runs any more."""


class _PackagedSpec(KernelSpecManager):  # type: ignore[misc]
    """Knows one kernel, whatever is installed: this package on this interpreter."""

    def get_kernel_spec(self, kernel_name: str) -> Any:  # noqa: ARG002 - there is but one
        """Give its spec."""
        return KernelSpec(**specs.build(sys.executable))


class Execution:
    """One execution of a notebook: ``run`` is its life, and nbclient calls the rest."""

    def __init__(
        self,
        notebook: Any,
        outcomes: Outcomes,
        begins: Callable[[Outcome], None],
        limit: int | None,
    ) -> None:
        """Take the notebook, and the seconds that each of its cells may take."""
        self._notebook = notebook
        self._outcomes = outcomes
        self._begins = begins
        self._limit = limit
        self._kernel = AsyncKernelManager(
            kernel_name=specs.NAME,
            kernel_spec_manager=_PackagedSpec(),
            client_class=f"{Client.__module__}.{Client.__name__}",
        )
        self._task: asyncio.Task[Any] | None = None
        self._interrupting: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._running: int | None = None  # the place of the cell that runs
        self._began = 0.0
        self._stopping: _Reason | None = None

    @property
    def interrupted(self) -> bool:
        """Whether it ended before its time."""
        return self._stopping is not None

    async def run(self, folder: Path, *, allow_errors: bool) -> None:
        """Execute the notebook in a folder, on a kernel that is gone afterwards.

        Raises CommandError if there was no kernel to execute it on.
        """
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        loop.add_signal_handler(signal.SIGTERM, self._terminated)
        # Step by step: nbclient's own way through a notebook takes the signals, and what it does
        # then depends on where it is.
        client = NotebookClient(
            self._notebook,
            km=self._kernel,
            resources={"metadata": {"path": str(folder)}},
            extra_arguments=_arguments(),
            startup_timeout=int(READY),
            allow_errors=allow_errors,
            on_cell_execute=self._begin,
            on_cell_executed=self._end,
        )
        try:
            await self._start(client)
            for place, cell in enumerate(self._notebook.cells):
                await client.async_execute_cell(cell, place, client.code_cells_executed + 1)
            client.set_widgets_metadata()
        except _StoppedError:
            pass  # the cell has told
        except (DeadKernelError, asyncio.CancelledError):
            # nbclient takes our cancelling for the kernel's death.
            reason = self._stopping or _DIED
            if self._running is not None:
                self._cut(self._running, reason)
            elif self._stopping is None:
                raise CommandError(f"{_DIED.evalue} No cell ran.") from None
        finally:
            self._task = None
            await self._shut_down(client)

    async def _start(self, client: Any) -> None:
        try:
            await client.async_start_new_kernel()
            channels = await client.async_start_new_kernel_client()
            info = await channels.kernel_info(reply=True, timeout=READY)
            # The supervisor is there before the interpreter is. The wait is not the first cell's.
            ready = await channels.execute("", silent=True, reply=True, timeout=READY)
        except (RuntimeError, OSError) as error:
            raise CommandError(f"The kernel did not start: {error}.") from None
        if failure := failure_of(ready["content"]):
            raise CommandError(f"The interpreter did not start. {failure}")
        self._notebook.metadata["language_info"] = info["content"]["language_info"]

    async def _shut_down(self, client: Any) -> None:
        if client.kc is not None:
            client.kc.stop_channels()
        if await self._kernel.is_alive():
            await self._kernel.shutdown_kernel()
        await self._kernel.cleanup_resources()

    # What nbclient tells.

    def _begin(self, cell_index: int, **_: Any) -> None:
        if self._stopping:
            raise _StoppedError
        self._begins(self._outcomes[cell_index])
        self._running, self._began = cell_index, time.monotonic()
        if self._limit is not None:
            self._timer = asyncio.get_running_loop().call_later(self._limit, self._took_too_long)

    def _end(self, cell_index: int, execute_reply: dict[str, Any], **_: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        failure = failure_of(execute_reply["content"])
        resources.record(self._notebook.cells[cell_index], cell_index, execute_reply)
        self._outcomes[cell_index].resources = resources.of_reply(execute_reply)
        if self._stopping:
            self._cut(cell_index, self._stopping, failure.traceback if failure else ())
        else:
            self._outcomes[cell_index].end(time.monotonic() - self._began, failure)
        self._running = None
        if self._outcomes[cell_index].failed:
            raise _StoppedError

    def _cut(self, place: int, reason: _Reason, traceback: tuple[str, ...] = ()) -> None:
        """End a cell for a reason that the kernel does not know."""
        text = f"{reason.ename}: {reason.evalue}"
        failure = Failure(*reason, (*traceback, text), fatal=True)
        self._outcomes[place].end(time.monotonic() - self._began, failure)
        self._notebook.cells[place].outputs.append(
            new_output("error", **reason._asdict(), traceback=[text])
        )

    # What ends a run before its time.

    def _interrupted(self) -> None:
        if self._running is None or self._stopping:
            self._terminated()  # nothing can tell where it is, or has not told for too long
        else:
            print("Interrupting the cell. Ctrl-C again gives it up.", file=sys.stderr, flush=True)
            self._interrupt(_ENDED)

    def _terminated(self) -> None:
        self._stopping = self._stopping or _ENDED
        if self._task is not None:  # else it is ending already
            self._task.cancel()

    def _took_too_long(self) -> None:
        text = f"The cell took longer than {self._limit} s (--timeout)."
        self._interrupt(_Reason("CellTimeoutError", text))
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._terminated)

    def _interrupt(self, reason: _Reason) -> None:
        self._stopping = reason
        self._interrupting = asyncio.ensure_future(self._kernel.interrupt_kernel())


def _arguments() -> list[str]:
    """Give the arguments of a kernel that nobody sits at."""
    arguments = ["--HistoryManager.hist_file=:memory:"]  # what runs here is not what a user typed
    if "BULKHEAD_LOG_LEVEL" not in os.environ:
        arguments.append("--log-level=ERROR")  # the cell tells of a death; stderr would once more
    return arguments
