"""Each kernel is installed with pip in an environment of its own, next to this file."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from .kernels import CLIENT, ENVIRONMENTS, KNOWN, ROOT, UnknownKernelError, named, python_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def make(kernels: Sequence[str], *, again: bool) -> None:
    """Make the environments of these kernels, and the client's; ``again`` installs anew."""
    wanted = {CLIENT: KNOWN["floor"].requirements}
    try:
        for kernel in map(named, kernels):
            if kernel.environment:
                wanted[kernel.environment] = kernel.requirements
    except UnknownKernelError as error:
        raise SystemExit(f"benchmarks: {error}") from None
    for name, requirements in wanted.items():
        if again or not python_of(name).exists():
            _install(name, requirements)


def enter(argv: Sequence[str], module: str = "benchmarks") -> None:
    """Go on in the client's environment: this process becomes its Python, unless it is already."""
    if sys.prefix == str(ENVIRONMENTS / CLIENT):
        return
    os.chdir(ROOT)
    python = str(python_of(CLIENT))
    os.execv(python, [python, "-m", module, *argv])  # noqa: S606 - no shell is wanted


def _install(name: str, requirements: Sequence[str]) -> None:
    print(f"benchmarks: making the environment of {name}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENTS / name)], check=True)
    pip = [str(python_of(name)), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run([*pip, *requirements], check=True)
    if str(ROOT) in requirements:  # its version stays the same when its code changes
        subprocess.run([*pip, "--no-deps", "--force-reinstall", str(ROOT)], check=True)
