"""The worker's part in debugging: debugpy is loaded when somebody first wants it, and not before.

It connects to the supervisor, which waits for it, and so nobody can connect to it. Its threads stay
until the worker ends; what was a worker of one thread is none from then on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import leading_empty_lines

from . import inspection
from .interrupts import protected

if TYPE_CHECKING:
    from .context import Request
    from .shell import ZMQInteractiveShell

_QUIET = "PYDEVD_DISABLE_FILE_VALIDATION"
_MISSING = (
    "The debugger needs debugpy, which is not installed where this kernel runs. Install it there "
    "(pip install debugpy), and restart the kernel."
)
_OLDEST = 1, 8, 21
"""Before this version debugpy tells no result of what is evaluated outside of a frame."""


class Debugging:
    """What the supervisor asks for on behalf of a debugging client."""

    def __init__(self, shell: ZMQInteractiveShell) -> None:
        self._shell = shell
        self._started = False

    async def handle(self, request: Request) -> dict[str, Any]:
        """Answer a request of the supervisor's own. Raises what goes wrong."""
        command, arguments = request.content["command"], request.content["arguments"]
        if command != "start":
            return {"status": "ok", "body": inspection.answer(command, arguments)}
        self._start(**arguments)
        return {"status": "ok"}

    def _start(self, host: str, port: int, token: str, prefix: str) -> None:
        # Frozen modules of the standard library cannot be stepped through. That is said on stderr
        # at each import, with an advice that nobody can follow here.
        before = os.environ.get(_QUIET)
        os.environ[_QUIET] = "1"
        try:
            try:
                import debugpy  # noqa: PLC0415, T100 - slow, and seldom wanted
            except ImportError as error:
                raise ImportError(f"{_MISSING} ({error})") from error
            _check(debugpy.__version__)
            debugpy.configure(subProcess=False)
            debugpy.connect((host, port), access_token=token)
        finally:
            if before is None:
                del os.environ[_QUIET]
            else:
                os.environ[_QUIET] = before
        if not self._started:
            self._started = True
            self._keep_tracing()
            self._shell.compile.name_for_debugging(prefix)
            transforms = self._shell.input_transformer_manager.cleanup_transforms
            if leading_empty_lines in transforms:  # frontends count lines from a cell's top
                transforms.remove(leading_empty_lines)

    def _keep_tracing(self) -> None:
        """Trace each cell; leave what the user's code forks alone, whose tracer has no threads."""
        import debugpy  # noqa: PLC0415, T100

        @protected
        def trace() -> None:
            # An interrupt at a breakpoint is raised in debugpy's code, and ends its tracing.
            debugpy.trace_this_thread(True)

        self._shell.events.register("pre_execute", trace)
        os.register_at_fork(after_in_child=lambda: debugpy.trace_this_thread(False))


def _check(version: str) -> None:
    """Raise ImportError for a debugpy that is too old."""
    found = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if found < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise ImportError(
            f"debugpy {version} is installed where this kernel runs, and {oldest} is the oldest "
            "that does. Upgrade it there (pip install --upgrade debugpy), and restart the kernel."
        )
