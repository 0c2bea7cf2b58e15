"""What a donor's values are made of in the heir. Their pickles call these functions by name.

A function of a cell looks names up in the user's namespace, where they may change later. So it gets
the heir's namespace, and no copy of what it was to find there. What a closure shares with another
one stays shared.
"""

from __future__ import annotations

from functools import lru_cache
from types import CellType, CodeType, FunctionType
from typing import Any

_namespace: dict[str, Any] = {}
ATTRIBUTES = (
    "__defaults__", "__kwdefaults__", "__doc__", "__module__", "__qualname__", "__type_params__",
)  # fmt: skip
"""What a function has besides its code; ``__annotations__`` depends on Python's version."""


def build_into(namespace: dict[str, Any]) -> None:
    """Let what is rebuilt from now on live in this namespace."""
    global _namespace  # noqa: PLW0603 - pickles have no other way to it
    _namespace = namespace


def namespace() -> dict[str, Any]:
    """Give the user's namespace."""
    return _namespace


def function(code: CodeType, name: str, cells: tuple[CellType, ...] | None) -> FunctionType:
    """Make a function of a cell, with nothing but its code and its closure."""
    return FunctionType(code, _namespace, name, None, cells)


def set_function(made: FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give a function all else."""
    own, others = state
    made.__dict__.update(own)
    for name, value in others.items():
        setattr(made, name, value)


def cell() -> CellType:
    """Make a cell of a closure, empty as yet."""
    return CellType()


def set_cell(made: CellType, contents: tuple[Any]) -> None:
    """Fill it."""
    (made.cell_contents,) = contents


def view(base: Any, shape: Any, dtype: Any, offset: int, strides: Any, writeable: bool) -> Any:  # noqa: FBT001 - as it was pickled
    """Make an array that shows part of another one."""
    made = type(base)(shape, dtype, base, offset, strides)
    made.flags.writeable = writeable and base.flags.writeable
    return made


def cached(function: Any, parameters: dict[str, Any]) -> Any:
    """Let a function remember its results again. It begins with none."""
    return lru_cache(**parameters)(function)
