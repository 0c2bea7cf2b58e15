"""What a run was measured on, and how busy it was: figures without it mean nothing."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from .kernels import Kernel


def about(kernels: list[Kernel], rounds: int, *, quick: bool) -> dict[str, Any]:
    """Describe the machine, the versions and the run."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
            "system": platform.system(),
        },
        "versions": {kernel.name: _versions(kernel) for kernel in kernels},
        "rounds": rounds,
        "quick": quick,
        "loads": [],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions(kernel: Kernel) -> str:
    """Ask a kernel's Python for the version of the kernel, and its own."""
    code = "import platform; print('Python', platform.python_version())"
    if kernel.distribution:
        code = (
            "import importlib.metadata as m; "
            f"print({kernel.distribution!r}, m.version({kernel.distribution!r}), end=', '); {code}"
        )
    done = subprocess.run([kernel.python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()
