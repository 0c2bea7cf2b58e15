"""All running kernels of this user, as often as somebody looks, and what can be done to one.

Files say which kernels claim to run, processes which of them do, servers which notebooks they have.
A kernel of ours is asked for the rest. Others are not: ipykernel would answer too, but while it did
so its server would take it for used, and never end it for being idle.

All are asked at once, and a kernel that is silent costs no more than ``PATIENCE``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Self

import psutil

from . import top_files, top_kernel, top_processes, top_servers
from .top_control import Control

if TYPE_CHECKING:
    from pathlib import Path

    from .top_files import ConnectionFile
    from .top_kernel import Kernel
    from .top_processes import Figures
    from .top_servers import Session

PATIENCE = 0.5
"""Seconds that a kernel may take to tell what it uses."""
INTERRUPT_PATIENCE = 3.0
"""Seconds that a kernel may take to say that it was interrupted."""


class Look(NamedTuple):
    """What one look found."""

    kernels: tuple[Kernel, ...]
    """In the order of their connection files' names."""
    stale: int
    """How many connection files have no kernel any more."""


class How(Enum):
    """The ways to interrupt a kernel."""

    CONTROL = "a message on its control channel"
    SERVER = "its server does it"
    SIGNAL = "a signal"
    NOT = "no way that would be safe"


def how_to_interrupt(*, ours: bool, has_server: bool, is_ipykernel: bool) -> How:
    """Decide how a kernel is interrupted. Pure.

    SIGINT is for those only that are known to survive it.
    """
    if ours:
        return How.CONTROL
    if has_server:
        return How.SERVER
    return How.SIGNAL if is_ipykernel else How.NOT


@dataclass(frozen=True)
class _Handle:
    """By what a kernel is reached."""

    file: ConnectionFile
    process: psutil.Process
    ours: bool
    session: Session | None


class Kernels:
    """The kernels whose connection files stand in a folder. Belongs to one event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._control = Control()
        self._processes = top_processes.Processes()
        self._servers = top_servers.Servers(folder)
        self._handles: dict[str, _Handle] = {}
        self._figures: dict[str, Figures] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()

    # Looking.

    async def look(self) -> Look:
        """Find the running kernels and ask them all."""
        files = top_files.connection_files(self._folder)
        processes, sessions = await asyncio.gather(
            asyncio.to_thread(self._processes.find, files),
            asyncio.to_thread(self._servers.sessions),
        )
        handles = [
            _Handle(
                file,
                processes[file.path],
                top_processes.is_ours(processes[file.path]),
                sessions.get(file.kernel_id),
            )
            for file in files
            if file.path in processes
        ]
        figures, self._figures = self._figures, {}
        kernels = await asyncio.gather(*(self._describe(each, figures) for each in handles))
        self._handles = {
            kernel.connection_file: handle for kernel, handle in zip(kernels, handles, strict=True)
        }
        return Look(tuple(kernels), len(files) - len(kernels))

    async def _describe(self, handle: _Handle, before: dict[str, Figures]) -> Kernel:
        kernel = top_kernel.found(handle.file, handle.process.pid, bulkhead=handle.ours)
        told = None
        if handle.ours:
            content = await self._control.ask(handle.file, "usage_request", PATIENCE)
            told = top_kernel.with_reply(kernel, content) if content is not None else None
        if told is None:
            told = await self._measure(kernel, handle, before)
        return top_kernel.with_session(told, handle.session)

    async def _measure(self, kernel: Kernel, handle: _Handle, before: dict[str, Figures]) -> Kernel:
        figures = await asyncio.to_thread(top_processes.measure, handle.process)
        if figures is None:
            return kernel
        self._figures[kernel.connection_file] = figures
        percent = top_processes.cpu_percent(before.get(kernel.connection_file), figures)
        return top_kernel.with_figures(kernel, figures, percent)

    # Doing. What became of it is a sentence.

    async def interrupt(self, kernel: Kernel) -> str:
        """Interrupt a kernel that was found by the last look; say what happened."""
        handle = self._handles.get(kernel.connection_file)
        if handle is None or not top_processes.lives(handle.process):
            return GONE
        is_ipykernel = top_processes.is_ipykernel(handle.process)
        match how_to_interrupt(
            ours=handle.ours, has_server=handle.session is not None, is_ipykernel=is_ipykernel
        ):
            case How.CONTROL:
                return await self._interrupt_by_message(handle)
            case How.SERVER:
                return await _by_server(handle, "interrupt", "Interrupted.")
            case How.SIGNAL:
                return _interrupt_by_signal(handle.process)
            case How.NOT:
                return (
                    "Not interrupted: no server of yours runs this kernel, and a signal might end "
                    "it. Interrupt it where it was started."
                )

    async def _interrupt_by_message(self, handle: _Handle) -> str:
        told = await self._control.ask(handle.file, "interrupt_request", INTERRUPT_PATIENCE)
        if told is None:
            return (
                f"The kernel was asked to interrupt, but did not answer for "
                f"{INTERRUPT_PATIENCE:.0f} s. If it stays silent, restart it."
            )
        if told.get("status") != "ok":
            why = top_files.printable(str(told.get("evalue", "it gave no reason")))
            return f"The kernel did not interrupt: {why}. If the cell goes on, restart the kernel."
        return "Interrupted."

    async def restart(self, kernel: Kernel) -> str:
        """Have a kernel's server restart it; say what happened."""
        handle = self._handles.get(kernel.connection_file)
        if handle is None:
            return GONE
        if handle.session is None:
            return NO_SERVER
        return await _by_server(handle, "restart", "Restarted: its variables are gone.")


GONE = "This kernel has ended meanwhile."
NO_SERVER = (
    "Not restarted: only a Jupyter server restarts a kernel, and none that this command can ask "
    "has started this one. Restart it where it was started."
)


async def _by_server(handle: _Handle, action: str, done: str) -> str:
    assert handle.session is not None
    failed = await asyncio.to_thread(top_servers.post, handle.session, action)
    if failed is None:
        return done
    url = handle.session.server.url
    return f"The server at {url} did not {action} it: {failed}. Try it in the notebook."


def _interrupt_by_signal(process: psutil.Process) -> str:
    """Do what Jupyter does: signal the group if it is the kernel's own, else the kernel."""
    try:
        if os.getpgid(process.pid) == process.pid and process.is_running():
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
    except (OSError, psutil.Error):
        return GONE
    return "Interrupted, by a signal."
