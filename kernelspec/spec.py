"""The kernelspec as data: what Jupyter reads to start the kernel.

The packaged ``kernel.json`` is the one place where the default spec stands. What differs from one
installation to another (the interpreter, the name, the environment) is put into a copy of it here.
Pure, but for reading that file.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from importlib.util import find_spec
from typing import Any, TypeGuard

NAME = "bulkhead"
MODULE = "bulkhead_kernel.supervisor"
PROVISIONER = "bulkhead-provisioner"
"""As the entry point in pyproject.toml calls it."""
LOGOS = ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg")


def default() -> dict[str, Any]:
    """Give the packaged spec, whose interpreter is whichever runs Jupyter."""
    return dict(json.loads(read_resource("kernel.json")))


def read_resource(name: str) -> bytes:
    """Give a file of this folder."""
    return resources.files(__package__).joinpath(name).read_bytes()


def build(
    executable: str,
    *,
    name: str = NAME,
    display_name: str | None = None,
    env: dict[str, str] | None = None,
    profile: str | None = None,
    memory_limit: str | None = None,
    provisioner: bool = False,
) -> dict[str, Any]:
    """Give the spec that starts the kernel on this interpreter.

    Without a display name, whatever sets the spec apart from the default one (its name, else its
    IPython profile) is added to the default display name: two equal tiles help nobody.
    """
    spec = default()
    if find_spec("debugpy") is not None:  # where this runs, the kernel runs
        spec["metadata"] = spec.get("metadata", {}) | {"debugger": True}
    spec["argv"] = [executable, *spec["argv"][1:]]
    if profile:
        spec["argv"].append(f"--profile={profile}")
    if memory_limit:
        spec["argv"].append(f"--memory-limit={memory_limit}")
    if display_name:
        spec["display_name"] = display_name
    elif name != NAME:
        spec["display_name"] += f" [{name}]"
    elif profile:
        spec["display_name"] += f" [profile={profile}]"
    if provisioner:
        spec["metadata"]["kernel_provisioner"] = {"provisioner_name": PROVISIONER}
    if env:
        spec["env"] = dict(env)
    return spec


def is_ours(spec: object) -> TypeGuard[dict[str, Any]]:
    """Tell if a spec, as read from somebody's kernel.json, starts this kernel."""
    argv = spec.get("argv") if isinstance(spec, dict) else None
    return isinstance(argv, list) and MODULE in argv


def check_name(name: str) -> str:
    """Give the name as Jupyter keeps it, in small letters. Raises ValueError for a bad one."""
    # "." and ".." would be other folders than the kernel's own, and what they hold would be lost.
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or not name.strip("."):
        raise ValueError(
            f"{name!r} cannot be the name of a kernel: "
            "only ASCII letters, digits, '-', '.' and '_' can, and not dots alone."
        )
    return name.lower()
