"""A restart that keeps the supervisor: what Jupyter's server asks to start and end the kernel.

Opt-in (``bulkhead install --provisioner``), and imported by that server alone. jupyter_client's own
restart ends the process that it has started, and starts another one. Ours starts the supervisor
with one end of a pair of sockets, and is told there when a worker was replaced (see the
supervisor's ``provisioner``). Then the kernel has ended, as far as its manager can see, and to
launch it again is to say that it is there.

Whatever does not go as planned is left to jupyter_client's own way, a new process: a supervisor
that has ended or does not answer, a kill, a command or an environment that has changed since.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

if TYPE_CHECKING:
    from jupyter_client.connect import KernelConnectionInfo

OPTION = "--restart-in-place"
_LOOK = 0.1
"""Seconds for which one look waits for the end of a restart: jupyter_client's own interval."""
_WHOLE = 1 << 16  # bytes at a time


class Provisioner(LocalProvisioner):  # type: ignore[misc]  # mypy does not look into its package
    """Starts a supervisor on this machine, and keeps it over restarts."""

    _channel: socket.socket | None = None
    _heard = b""
    _launched: tuple[Any, ...] = ()  # what the supervisor was started with
    _awaited = False  # a restart was asked for, and the supervisor is to say when it is done
    _renewed = False  # ... and has said so

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start a supervisor; or keep the one that is there, with its new worker."""
        wanted = _copy(cmd, kwargs, self.connection_info)
        renewed, self._awaited, self._renewed = self._renewed, False, False
        if renewed and self._is_running():
            if wanted == self._launched:
                return self.connection_info
            self.log.info("Bulkhead: the kernel's settings have changed; it is started anew.")
            await self.kill()
            await self.wait()
        self._hang_up()
        self._launched = wanted
        if self.parent is None or self.connection_info.get("transport") == "ipc":
            # The manager removes the kernel's sockets from the file system at each restart.
            return await super().launch_kernel(cmd, **kwargs)
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            self._channel, self._heard = ours, b""
            kwargs["pass_fds"] = (*kwargs.get("pass_fds", ()), theirs.fileno())
            return await super().launch_kernel([*cmd, f"{OPTION}={theirs.fileno()}"], **kwargs)

    async def shutdown_requested(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002
        """Note that the kernel is to end, or to begin anew."""
        await super().shutdown_requested(restart=restart)
        self._awaited, self._renewed = restart and self._channel is not None, False

    async def poll(self) -> int | None:
        """Give None while the kernel lives; 0 once it was restarted in place."""
        status = await super().poll()
        if status is None and self._awaited and not self._renewed:
            await self._listen()
            status = await super().poll()
        self._hear()
        return 0 if status is None and self._renewed else status

    async def wait(self) -> int | None:
        """Wait until the kernel has ended, or was restarted in place; give what ``poll`` does."""
        while await self.poll() is None:  # noqa: ASYNC110 - of a process: nothing else would tell
            await asyncio.sleep(_LOOK)
        if self._renewed and self._is_running():
            return 0
        status: int | None = await super().wait()
        return status

    async def terminate(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002
        """Ask the supervisor to end: what happens now is no restart in place."""
        self._awaited = self._renewed = False
        await super().terminate(restart=restart)

    async def kill(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002
        """End the supervisor, and with it everything of the kernel."""
        self._awaited = self._renewed = False
        await super().kill(restart=restart)

    async def cleanup(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002
        """Let go of what is not needed any more."""
        await super().cleanup(restart=restart)
        if not restart:
            self._hang_up()

    def _is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    # The supervisor's word.

    async def _listen(self) -> None:
        """Wait a moment for the supervisor to say something, or to end."""
        channel = self._channel
        if channel is None:
            return
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(channel, ready.set)
        try:
            async with asyncio.timeout(_LOOK):
                await ready.wait()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(channel)

    def _hear(self) -> None:
        """Take what the supervisor has said: lines, each the session of whoever asked."""
        while self._channel is not None:
            try:
                data = self._channel.recv(_WHOLE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:  # it is gone, or will be in a moment: its process tells the rest
                self._hang_up()
                return
            *lines, self._heard = (self._heard + data).split(b"\n")
            # Others may restart the kernel, too. That is not what the manager waits for.
            if self._awaited and self._session() in lines:
                self._renewed = True

    def _session(self) -> bytes:
        return json.dumps(self.parent.session.session).encode()

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _copy(cmd: list[str], kwargs: dict[str, Any], info: KernelConnectionInfo) -> tuple[Any, ...]:
    """Give what decides about a new process; launching changes some of it."""
    return list(cmd), {**kwargs, "env": dict(kwargs.get("env") or {})}, dict(info)
