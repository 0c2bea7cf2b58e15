"""A notebook's file: read, checked, written. What is wrong with one is told in words."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import nbformat

from .errors import CommandError
from .resources import KEY

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 4
PYTHONS = ("python", "ipython")


def read(path: Path) -> Any:
    """Read a notebook of Python code. Raises CommandError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cells of old notebooks lack an id, and get one
            notebook = nbformat.read(path, as_version=VERSION)
            nbformat.validate(notebook)
    except OSError as error:
        raise CommandError(f"The notebook {path} cannot be read: {error.strerror}.") from None
    except Exception as error:  # noqa: BLE001 - nbformat uses a file before it has checked it
        reason = getattr(error, "message", None) or str(error)  # a ValidationError says too much
        reason = reason.strip().partition("\n")[0][:200].rstrip(".")
        raise CommandError(f"{path} is not a Jupyter notebook: {reason}.") from None
    language = _language(notebook.metadata)
    if not language.startswith(PYTHONS):
        raise CommandError(f"The notebook {path} is in {language}, and this kernel runs Python.")
    return notebook


def _language(metadata: Any) -> str:
    info, kernelspec = metadata.get("language_info", {}), metadata.get("kernelspec", {})
    return str(info.get("name") or kernelspec.get("language") or "python").lower()


def forget_outputs(notebook: Any, *, keep: str) -> None:
    """Clear what an earlier run left in the cells, except in those with the tag to keep.

    A cell that this run does not reach would else show a result of that one.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code" and keep not in cell.metadata.get("tags", ()):
            cell.outputs, cell.execution_count = [], None
            for key in ("execution", KEY):
                cell.metadata.pop(key, None)


def check_writable(path: Path) -> None:
    """Find out before a long run that its notebook can be written after it. Raises CommandError."""
    folder = path.parent
    if not folder.is_dir():
        raise CommandError(f"{path} cannot be written: {folder} is not a folder.")
    if path.is_dir():
        raise CommandError(f"{path} cannot be written: it is a folder.")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise CommandError(f"{path} cannot be written: you may not.")


def write(notebook: Any, path: Path) -> None:
    """Write a notebook. Raises CommandError."""
    text = nbformat.writes(notebook, version=VERSION) + "\n"
    try:
        # A lone surrogate has no UTF-8, but an escape that is the same in JSON.
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
