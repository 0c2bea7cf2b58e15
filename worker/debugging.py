"""The worker's part in debugging: debugpy is loaded when somebody first wants it, and not before.

It connects to the supervisor, which waits for it, and so nobody can connect to it. Its threads stay
until the worker ends; what was a worker of one thread is none from then on.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import leading_empty_lines

from . import forks, inspection
from .stacks import protected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .context import Request
    from .shell import ZMQInteractiveShell

_SETTINGS = {
    # Frozen modules of the standard library cannot be stepped through; that would be said on stderr
    # each time, with an advice that nobody can follow here.
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # IPython runs each statement of a cell by itself: a step leads from one to the next if between
    # their frame and the rest of the world stand IPython's run_code and ours.
    "PYDEVD_IPYTHON_COMPATIBLE_DEBUGGING": "1",
    "PYDEVD_IPYTHON_CONTEXT": "interactiveshell.py, run_code, run_code",
}
"""Environment variables that debugpy reads once, while it loads its parts."""
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
        with _settings():
            debugpy = _load()
            debugpy.configure(subProcess=False)
            debugpy.connect((host, port), access_token=token)
        if not self._started:
            self._started = True
            self._trace(debugpy)
            self._shell.compile.name_for_debugging(prefix)
            transforms = self._shell.input_transformer_manager.cleanup_transforms
            if leading_empty_lines in transforms:  # frontends count lines from a cell's top
                transforms.remove(leading_empty_lines)

    def _trace(self, debugpy: Any) -> None:
        """Trace the user's code and nothing else, nor a child that it forks: nobody is there.

        What is raised and caught in our own code, or between two cells, must stop nobody. And an
        interrupt at a breakpoint is raised in debugpy's code, which ends its tracing of the thread.
        """
        ours = os.getpid()

        @protected
        def trace(on: bool) -> None:  # noqa: FBT001
            debugpy.trace_this_thread(on and os.getpid() == ours)

        trace(False)
        self._shell.trace = trace
        forks.in_child(lambda: trace(False))


@contextmanager
def _settings() -> Iterator[None]:
    """Set what debugpy reads, and nothing that the user's own programs would inherit."""
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _load() -> Any:
    """Import debugpy. Raises ImportError, with what helps."""
    try:
        import debugpy  # noqa: PLC0415, T100 - slow, and seldom wanted
    except ImportError as error:
        raise ImportError(f"{_MISSING} ({error})") from error
    _check(debugpy.__version__)
    return debugpy


def _check(version: str) -> None:
    """Raise ImportError for a debugpy that is too old."""
    found = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if found < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise ImportError(
            f"debugpy {version} is installed where this kernel runs, and {oldest} is the oldest "
            "that does. Upgrade it there (pip install --upgrade debugpy), and restart the kernel."
        )
