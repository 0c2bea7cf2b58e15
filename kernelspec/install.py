"""Installing, listing and removing kernelspecs: the folders in which Jupyter looks for kernels.

Only specs that start this kernel are listed and removed. Whatever the file system refuses becomes
a CommandError that says where and why.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.paths import SYSTEM_JUPYTER_PATH, jupyter_data_dir

from . import spec as specs
from .errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Installed:
    """A kernelspec of ours."""

    name: str
    folder: Path
    display_name: str
    python: str


@dataclass(frozen=True)
class Destination:
    """Where a kernelspec goes: the user's folder, a prefix, or (neither) the system's folder."""

    user: bool = False
    prefix: str | None = None


def install(name: str, spec: dict[str, Any], destination: Destination) -> Path:
    """Install a kernelspec under a name, and give its folder. Raises CommandError."""
    with tempfile.TemporaryDirectory() as temporary:
        # A folder inside: the outer one is private, and the installed one takes over its mode.
        source = Path(temporary) / name
        source.mkdir()
        for logo in specs.LOGOS:
            (source / logo).write_bytes(specs.read_resource(logo))
        text = json.dumps(spec, indent=2, ensure_ascii=False) + "\n"
        (source / "kernel.json").write_text(text, encoding="utf-8")
        try:
            folder = _manager().install_kernel_spec(
                str(source), name, user=destination.user, prefix=destination.prefix
            )
        except OSError as error:
            raise CommandError(_refused(error, name, destination)) from None
    return Path(folder)


def _refused(error: OSError, name: str, destination: Destination) -> str:
    folder = Path(destination.prefix, "share", "jupyter") if destination.prefix else None
    folder = folder or Path(jupyter_data_dir() if destination.user else SYSTEM_JUPYTER_PATH[0])
    text = f"The kernelspec cannot be installed: {_reason(error, folder / 'kernels' / name)}."
    if destination.user or destination.prefix:
        return f"{text} Choose another folder with --prefix."
    return f"{text} Use --user, or --sys-prefix for the environment in {sys.prefix}."


def is_searched(folder: Path) -> bool:
    """Tell if Jupyter, as it is set up here, finds a kernelspec in this folder."""
    return str(folder.parent) in _manager().kernel_dirs


def is_pip_s(folder: Path) -> bool:
    """Tell if a kernelspec in this folder belongs to the package, whose upgrade writes it anew."""
    wanted = (folder / "kernel.json").resolve()
    # More than one: where a clone is the working folder, what it was built from is there, too.
    for distribution in metadata.distributions(name="bulkhead-kernel"):
        for file in distribution.files or ():
            if file.name == wanted.name and Path(str(file.locate())).resolve() == wanted:
                return True
    return False


def installed() -> list[Installed]:
    """Give the kernelspecs that start this kernel, as Jupyter finds them."""
    return sorted(_installed(), key=lambda each: each.name)


def _installed() -> Iterator[Installed]:
    for name, folder in _manager().find_kernel_specs().items():
        spec = _read(Path(folder))
        if specs.is_ours(spec):
            display_name, python = str(spec.get("display_name", "")), str(spec["argv"][0])
            yield Installed(name, Path(folder), display_name, python)


def _read(folder: Path) -> object:
    """Read a kernel.json, which may be anybody's; what cannot be read is not one of ours."""
    try:
        return json.loads((folder / "kernel.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def find(name: str) -> Installed:
    """Give the kernelspec of that name. Raises CommandError if there is none of ours."""
    for each in installed():
        if each.name == name:
            return each
    folder = _manager().find_kernel_specs().get(name)
    if folder is None:
        raise CommandError(f"No kernelspec named {name!r} is installed; see `bulkhead list`.")
    raise CommandError(
        f"The kernelspec {name!r} in {folder} is not one of Bulkhead's, so it stays. "
        f"`jupyter kernelspec remove {name}` removes any kernel's."
    )


def uninstall(kernelspec: Installed) -> None:
    """Remove a kernelspec of ours. Raises CommandError."""
    try:
        _manager().remove_kernel_spec(kernelspec.name)
    except OSError as error:
        raise CommandError(
            f"The kernelspec cannot be removed: {_reason(error, kernelspec.folder)}."
        ) from None


def _manager() -> Any:
    # A native kernel of Jupyter's would be told of even where none is installed.
    return KernelSpecManager(ensure_native_kernel=False)


def _reason(error: OSError, folder: Path) -> str:
    """Tell what was refused, with the whole path: of what it removes, shutil names the file."""
    if isinstance(error, shutil.Error):  # of several files; the first one is reason enough
        _, path, why = error.args[0][0]
        return f"{path}: {why}"
    return f"{folder / error.filename}: {error.strerror}" if error.filename else str(error)
