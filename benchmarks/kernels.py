"""The kernels that are known by name: how they start, and what they are installed from."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = Path(__file__).resolve().parent / ".venvs"
CLIENT = "client"
"""The environment of what measures, and of the floor."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be started."""

    name: str
    argv: tuple[str, ...]
    """With ``{python}`` and ``{connection_file}``."""
    environment: str = ""
    """The environment that it is in; '' for one that we did not make."""
    requirements: tuple[str, ...] = ()
    distribution: str = ""
    """What tells its version."""
    interrupt: str = "signal"
    runs_code: bool = True
    python: str = ""

    def command(self, connection_file: Path) -> list[str]:
        """Give the command that starts it."""
        places = {"{python}": self.python, "{connection_file}": str(connection_file)}
        return [places.get(part, part) for part in self.argv]


class UnknownKernelError(ValueError):
    """A name on the command line that means nothing."""


_NUMPY = "numpy>=2"
_XPYTHON = ("{python}", "-m", "xpython_launcher", "-f", "{connection_file}")
_XEUS = ("xeus-python==0.19.*", "ipython", _NUMPY)
KNOWN = {
    kernel.name: kernel
    for kernel in (
        Kernel(
            "bulkhead",
            ("{python}", "-m", "bulkhead_kernel.supervisor", "-f", "{connection_file}"),
            "bulkhead",
            (str(ROOT), _NUMPY),
            "bulkhead-kernel",
            interrupt="message",
        ),
        Kernel(
            "ipykernel",
            ("{python}", "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f",
             "{connection_file}"),
            "ipykernel",
            ("ipykernel==7.4.*", _NUMPY),
            "ipykernel",
        ),
        Kernel(
            "ipykernel6",
            ("{python}", "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f",
             "{connection_file}"),
            "ipykernel6",
            ("ipykernel==6.31.*", _NUMPY),
            "ipykernel",
        ),
        Kernel("xpython", _XPYTHON, "xpython", _XEUS, "xeus-python"),
        Kernel("raw", (*_XPYTHON, "--raw"), "xpython", _XEUS, "xeus-python"),
        Kernel(
            "floor",
            ("{python}", str(ROOT / "benchmarks" / "floor.py"), "{connection_file}"),
            CLIENT,
            ("pyzmq>=26", "psutil>=6"),
            "pyzmq",
            runs_code=False,
        ),
    )
}  # fmt: skip


def python_of(environment: str) -> Path:
    """Give the interpreter of an environment of ours."""
    return ENVIRONMENTS / environment / "bin" / "python"


def named(text: str) -> Kernel:
    """Read ``NAME``, ``NAME=PYTHON`` or ``NAME=KERNEL.JSON``. Raises UnknownKernelError."""
    name, _, path = text.partition("=")
    if path.endswith(".json"):
        return _from_spec(name, Path(path))
    if name not in KNOWN:
        raise UnknownKernelError(
            f"no kernel {name!r} is known: use {', '.join(KNOWN)}, or NAME=/path/to/kernel.json"
        )
    kernel = KNOWN[name]
    if path:
        return replace(kernel, environment="", requirements=(), python=path)
    return replace(kernel, python=str(python_of(kernel.environment)))


def _from_spec(name: str, path: Path) -> Kernel:
    spec = json.loads(path.read_text(encoding="utf-8"))
    interrupt = spec.get("interrupt_mode", "signal")
    return Kernel(name, tuple(spec["argv"]), interrupt=interrupt, python=spec["argv"][0])
