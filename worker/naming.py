"""The names under which cells are compiled: IPython's, or those that breakpoints need.

Until somebody debugs, the code of each cell is remembered by its name: what was defined in earlier
cells is then renamed, so that breakpoints work there, too.
"""

from __future__ import annotations

import gc
import linecache
from types import CodeType, FunctionType

from IPython.core.compilerop import CachingCompiler

from ..shared import cells


class Compiler(CachingCompiler):  # type: ignore[misc]
    """IPython's compiler of cells."""

    def __init__(self) -> None:
        super().__init__()
        # Or Python takes it that more is to come, and says "incomplete input" for what is missing.
        self.reset_compiler_flags()
        self._prefix = ""  # of the files of cells; "" until somebody debugs
        self._codes: dict[str, str] = {}

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        """Name a cell."""
        if self._prefix:
            return cells.file_name(self._prefix, raw_code)
        name: str = super().get_code_name(raw_code, transformed_code, number)
        self._codes[name] = raw_code
        return name

    def name_for_debugging(self, prefix: str) -> None:
        """Name cells as frontends do from now on, and rename what is there already."""
        self._prefix = prefix
        places = {
            old: (self._move(old, raw), _empty_lines(raw)) for old, raw in self._codes.items()
        }
        self._codes.clear()
        for function in gc.get_objects():
            if type(function) is FunctionType and (
                place := places.get(function.__code__.co_filename)
            ):
                function.__code__ = _moved(function.__code__, *place)

    def _move(self, old: str, raw: str) -> str:
        """Let tracebacks find a cell under its new name, whose lines are counted from its top."""
        new = cells.file_name(self._prefix, raw)
        if old in self._filename_map:
            self._filename_map[new] = self._filename_map[old]
        if old in linecache.cache:
            lines = ["\n"] * _empty_lines(raw) + linecache.getlines(old)
            # Without a time it is never looked for on a disk.
            linecache.cache[new] = sum(map(len, lines)), None, lines, new
        return new


def _empty_lines(raw: str) -> int:
    """Count the empty lines that IPython has taken off the top of a cell."""
    for count, line in enumerate(raw.splitlines()):
        if line and not line.isspace():
            return count
    return 0


def _moved(code: CodeType, name: str, later: int) -> CodeType:
    """Give the same code, as if it stood in another file, and there some lines further down."""
    constants = tuple(
        _moved(constant, name, later) if isinstance(constant, CodeType) else constant
        for constant in code.co_consts
    )
    first = code.co_firstlineno + later
    return code.replace(co_filename=name, co_firstlineno=first, co_consts=constants)
