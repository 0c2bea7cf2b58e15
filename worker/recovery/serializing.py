"""Values to bytes, by cloudpickle, and without its compromises.

Cloudpickle turns what it cannot serialize into something similar in a few places: an open file into
text in memory, the namespace of a function into a copy. A value that is silently another one is
worse than one that is missing, so these are refused, or done better.

Imported in a helper of a donor alone: whatever it costs or breaks, nobody else has it.
"""

from __future__ import annotations

import functools
import io
import marshal
import mmap
import pickle
import sys
import typing
from types import CellType, CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import cloudpickle

from . import rebuilding

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from .estate import Out

_FILES = (io.IOBase,)
_PLAIN = frozenset({
    bool, bytes, complex, float, int, str, type(None), type(NotImplemented), type(...),
})  # fmt: skip
"""Types whose objects are as good as any other that is equal."""
_REFUSED = {
    ("numpy", "memmap"): "an array in a file or in shared memory",
    ("ipywidgets", "Widget"): "a widget, whose other half is in the browser",
    ("comm", "BaseComm"): "a connection to the browser",
}
_MAIN = "__main__"


class Whole(cloudpickle.Pickler):  # type: ignore[misc]
    """Serialize everything at once."""

    def __init__(self, out: Out, namespace: Mapping[str, Any], shell: object) -> None:
        super().__init__(out, protocol=5)
        self._namespace = namespace
        self._shell = shell
        self._array = getattr(sys.modules.get("numpy"), "ndarray", None)

    def reducer_override(self, obj: Any) -> Any:
        """Say how an object is made again."""
        kind = type(obj)
        if kind is FunctionType and obj.__globals__ is self._namespace:
            return _function(obj)
        if (again := _AGAIN.get(kind)) is not None:
            return again(obj)
        if kind in _BY_NAME and obj.__module__ == _MAIN:
            return _BY_NAME[kind](obj)
        if why := _refusal(obj, kind):
            raise pickle.PicklingError(why)
        if kind is self._array and (view := _view(obj)) is not None:
            return view
        if obj is self._shell:
            return _shell, ()
        return super().reducer_override(obj)


class OneByOne(Whole):
    """Serialize some variables, and only name the others that they contain."""

    def __init__(
        self,
        out: Out,
        namespace: Mapping[str, Any],
        shell: object,
        others: Mapping[int, str],
        own: Collection[str],
    ) -> None:
        """Take the names of all variables by the identities of their values."""
        super().__init__(out, namespace, shell)
        self._others = others
        self._own = own
        self.needs: set[str] = set()
        """Variables that these ones contain."""

    def persistent_id(self, obj: Any) -> str | None:
        """Name what is a variable itself."""
        name = self._others.get(id(obj))
        if name is None or name in self._own:
            return None
        self.needs.add(name)
        return name


def identities(variables: Mapping[str, Any]) -> dict[int, str]:
    """Give the name of each value, by its identity; of one with several names, the first."""
    found: dict[int, str] = {}
    for name, value in variables.items():
        if type(value) not in _PLAIN:
            found.setdefault(id(value), name)
    return found


def _function(obj: FunctionType) -> tuple[Any, ...]:
    others = {name: getattr(obj, name) for name in rebuilding.ATTRIBUTES if hasattr(obj, name)}
    # Python 3.14 computes annotations when they are asked for, by this function.
    name = "__annotate__" if hasattr(obj, "__annotate__") else "__annotations__"
    others[name] = getattr(obj, name)
    return (
        rebuilding.function,
        (obj.__code__, obj.__name__, obj.__closure__),
        (dict(obj.__dict__), others),
        None,
        None,
        rebuilding.set_function,
    )


def _cell(obj: CellType) -> tuple[Any, ...]:
    try:
        contents = (obj.cell_contents,)
    except ValueError:  # it is empty
        return rebuilding.cell, ()
    return rebuilding.cell, (), contents, None, None, rebuilding.set_cell


def _code(obj: CodeType) -> Any:
    """Keep in which cell code stands, which cloudpickle forgets: tracebacks show its lines.

    It is read by the same Python. What has constants of another kind is left to cloudpickle.
    """
    try:
        return marshal.loads, (marshal.dumps(obj),)
    except ValueError:
        return NotImplemented


_AGAIN: dict[type, Callable[[Any], Any]] = {CellType: _cell, CodeType: _code}


def _view(array: Any) -> tuple[Any, ...] | None:
    """Keep an array a view of the array that it is one of; None if it is none."""
    base = array.base
    if why := _refusal(base, type(base)):
        raise pickle.PicklingError(why)
    if type(base) is not type(array) or array.dtype.hasobject or base.dtype.hasobject:
        return None
    if not (base.flags.c_contiguous or base.flags.f_contiguous):
        return None
    offset = array.ctypes.data - base.ctypes.data
    return (
        rebuilding.view,
        (base, array.shape, array.dtype, offset, array.strides, array.flags.writeable),
    )


def _cached(obj: Any) -> tuple[Any, ...]:
    own = {name: value for name, value in vars(obj).items() if name != "__wrapped__"}
    return rebuilding.cached, (obj.__wrapped__, obj.cache_parameters()), own


def _new_type(obj: typing.NewType) -> tuple[Any, ...]:
    return typing.NewType, (obj.__name__, obj.__supertype__), dict(vars(obj))


# These would be looked up in the module that made them, where the heir has nothing yet.
_BY_NAME: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    type(functools.lru_cache(_cell)): _cached,
    typing.NewType: _new_type,
}


def _refusal(obj: Any, kind: type) -> str:
    if issubclass(kind, _FILES) and not issubclass(kind, (io.BytesIO, io.StringIO)):
        return f"an open file ({getattr(obj, 'name', kind.__name__)})"
    if kind is mmap.mmap:
        return "an array in a file or in shared memory"
    if kind is memoryview:
        return "a view of somebody else's memory"
    for base in kind.__mro__:
        if (base.__module__.partition(".")[0], base.__name__) in _REFUSED:
            return _REFUSED[base.__module__.partition(".")[0], base.__name__]
    return ""


def _shell() -> Any:
    from IPython import get_ipython  # noqa: PLC0415 - as above

    return get_ipython()
