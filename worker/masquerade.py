"""How libraries find out that they run in a notebook, and the answer that they look for.

There is no interface for that question, so libraries look for traces of ipykernel: tqdm.auto for
the module ``ipykernel.zmqshell`` among the loaded ones, others for the name of the shell's class or
of its module. A kernel without those traces gets text for a terminal. So there is a module of that
name, with our shell in it. Whatever else is asked of it comes from the real one, if ipykernel is
installed, so that ``import ipykernel`` works as ever.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

_NAME = "ipykernel.zmqshell"


class _ZMQShell(ModuleType):
    """Stands in for ``ipykernel.zmqshell``."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(), name)


class _Finder:  # not importlib.abc's: that imports importlib.resources, and is not asked for
    """Lets ``ipykernel``, once it is imported, have the stand-in as its attribute."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find ``ipykernel`` as ever, and add to what its import does. Others find the rest."""
        del path, target
        if name != "ipykernel":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            setattr(module, _NAME.rpartition(".")[2], self._module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install(shell_class: type) -> None:
    """Put the stand-in among the loaded modules."""
    module = _ZMQShell(
        _NAME, "Stands in for ipykernel's module of this name, in a Bulkhead kernel."
    )
    setattr(module, shell_class.__name__, shell_class)
    shell_class.__module__ = _NAME
    sys.modules[_NAME] = module
    sys.meta_path.insert(0, _Finder(module))


def _real() -> ModuleType:
    """Load ipykernel's own module beside ours. Raises ImportError if it is not installed."""
    name = f"{_NAME}_of_ipykernel"
    if (loaded := sys.modules.get(name)) is not None:
        return loaded
    package = importlib.import_module("ipykernel")
    spec = importlib.util.spec_from_file_location(name, f"{package.__path__[0]}/zmqshell.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{_NAME} was not found")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
