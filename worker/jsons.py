"""JSON as Jupyter needs it: fast, exact for big integers, and never a lost message.

msgspec does the work. What it refuses and users do send goes the slower way through the standard
library: NaN in what is received, lone surrogates and keys that are no strings in what is sent.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from typing import Any

import msgspec


def dumps(value: object) -> bytes:
    """Encode as UTF-8. NaN and infinities become null, bytes base64, dates ISO 8601.

    Raises TypeError (naming the type) for what has no form in JSON, and ValueError for circles.
    """
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except (UnicodeEncodeError, TypeError):
        return json.dumps(_finite(value, set()), default=_plain, allow_nan=False).encode()
    except RecursionError as error:
        raise ValueError("the value contains itself") from error


def loads(data: bytes | memoryview) -> Any:
    """Decode. Raises ValueError for what is no JSON in UTF-8."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The standard library also takes NaN and Infinity, which Python clients send.
        return json.loads(bytes(data))
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def _plain(value: Any) -> object:
    """Turn numpy's scalars and arrays, paths and the like into what JSON knows."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b64encode(value).decode()
    for method in ("isoformat", "tolist", "__fspath__"):
        convert = getattr(value, method, None)
        if callable(convert):
            return convert()
    if hasattr(value, "__iter__"):
        return list(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"an object of type {type(value).__name__} has no form in JSON: {value!r:.80}")


def _finite(value: Any, above: set[int]) -> Any:
    """Copy a value with NaN as None and keys as strings, as msgspec writes them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return value
    if id(value) in above:
        raise ValueError("the value contains itself")
    above.add(id(value))
    try:
        if isinstance(value, dict):
            return {_key(key): _finite(item, above) for key, item in value.items()}
        return [_finite(item, above) for item in value]
    finally:
        above.discard(id(value))


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    return str(key)
