"""What the debugger's panel shows of the interpreter besides a stopped frame.

It is asked in the main thread between two cells, or by debugpy in a thread of debugpy's, whatever
the main thread does then. Answers are texts that any ``repr`` and ``str`` leave whole.
"""

from __future__ import annotations

import base64
import json
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython

from . import jsons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONGEST = 1000  # characters of a value
_MOST = 1000  # children of a value that are listed

_seen: dict[int, Any] = {}
"""Values whose children a client can ask for, by their reference."""


def look(text: str) -> str:
    """Answer what ``debug_words.look`` asks."""
    command, arguments = json.loads(base64.b64decode(text))
    try:
        return _sealed(answer(command, arguments))
    except Exception as error:  # noqa: BLE001 - of the user's objects
        return _sealed({"error": f"{type(error).__name__}: {error}"})


def rich(value: Any) -> str:
    """Show a value as a cell would that ends with it."""
    try:
        return _sealed(_shown(value))
    except Exception as error:  # noqa: BLE001 - of the user's objects
        return _sealed({"error": f"{type(error).__name__}: {error}"})


def answer(command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Give the body of the response to a request. Raises what the user's objects raise."""
    return _COMMANDS[command](arguments)


def _sealed(content: dict[str, Any]) -> str:
    return base64.b64encode(jsons.dumps(content)).decode("ascii")


def _inspect(_: dict[str, Any]) -> dict[str, Any]:
    _seen.clear()
    shell = get_ipython()
    names = [name for name in tuple(shell.user_ns) if name not in shell.user_ns_hidden]
    return {"variables": [_variable(name, shell.user_ns[name], name) for name in names]}


def _variables(arguments: dict[str, Any]) -> dict[str, Any]:
    reference = arguments.get("variablesReference", 0)
    if reference == 0:
        return _inspect({})
    if reference not in _seen:
        raise LookupError("that variable was listed before the last refresh; list them again")
    name, value = _seen[reference]
    children = islice(_children(name, value), _MOST)
    return {"variables": [_variable(*child) for child in children]}


def _children(name: str, value: Any) -> Iterator[tuple[str, Any, str]]:
    if isinstance(value, dict):
        for key, item in tuple(value.items()):
            yield _brief(key), item, f"{name}[{_brief(key)}]"
        return
    if isinstance(value, (list, tuple)):
        for at, item in enumerate(value):
            yield f"{at:0{len(str(len(value)))}d}", item, f"{name}[{at}]"
        return
    if isinstance(value, (set, frozenset)):
        for item in tuple(value):
            yield _brief(item), item, ""
        return
    for attribute in _attributes(value):
        try:
            yield attribute, getattr(value, attribute), f"{name}.{attribute}"
        except Exception as error:  # noqa: BLE001 - a property of the user's
            yield attribute, error, ""


def _attributes(value: Any) -> list[str]:
    """Name what an object holds: no methods, and nothing that a property would have to compute."""
    held = list(getattr(value, "__dict__", ()))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        held += [slots] if isinstance(slots, str) else slots
    return [name for name in held if not name.startswith("__")]


def _has_children(value: Any) -> bool:
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return bool(value)
    if isinstance(value, type) or callable(value) or type(value).__module__ == "builtins":
        return False
    return bool(_attributes(value))


def _variable(name: str, value: Any, expression: str) -> dict[str, Any]:
    reference = 0
    if _has_children(value):
        reference = len(_seen) + 1
        _seen[reference] = expression, value
    return {
        "name": name,
        "value": _brief(value),
        "type": type(value).__name__,
        "evaluateName": expression,
        "variablesReference": reference,
    }


def _brief(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - the user's own __repr__
        return f"<its __repr__ failed: {type(error).__name__}>"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _rich(arguments: dict[str, Any]) -> dict[str, Any]:
    name = arguments["variableName"]
    namespace = get_ipython().user_ns
    if name not in namespace:
        raise NameError(f"name {name!r} is not defined")
    return _shown(namespace[name])


def _shown(value: Any) -> dict[str, Any]:
    data, metadata = get_ipython().display_formatter.format(value)
    content: dict[str, Any] = {"data": data, "metadata": metadata}
    return content


def _modules(arguments: dict[str, Any]) -> dict[str, Any]:
    every = tuple(sys.modules.items())
    start = arguments.get("startModule") or 0
    count = arguments.get("moduleCount") or len(every)
    found = []
    for at, (name, module) in tuple(enumerate(every))[start : start + count]:
        origin = getattr(getattr(module, "__spec__", None), "origin", None)
        if isinstance(origin, str) and origin.endswith(".py"):
            found.append({"id": at, "name": name, "path": origin})
    return {"modules": found, "totalModules": len(every)}


_COMMANDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "inspectVariables": _inspect,
    "variables": _variables,
    "richInspectVariables": _rich,
    "modules": _modules,
}
