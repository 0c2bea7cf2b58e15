"""JSON as Jupyter needs it: fast, exact for big integers, and never a lost message.

msgspec does the work. What it refuses and users do send is made plain first, piece by piece: lone
surrogates, keys that are no strings. What it refuses to read (NaN, which Python clients send) is
read by the standard library.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

_KNOWN = (str, int, float, bool, type(None), tuple, frozenset)


def dumps(value: object) -> bytes:
    """Encode as UTF-8. NaN and infinities become null, bytes base64, dates ISO 8601.

    Raises TypeError (naming the type) for what has no form in JSON, and ValueError for what
    contains itself or is nested too deeply.
    """
    try:
        try:
            return msgspec.json.encode(value, enc_hook=_plain)
        except (UnicodeEncodeError, TypeError, _OddKeyError):
            return json.dumps(_simple(value, set()), allow_nan=False).encode()
    except RecursionError:
        raise ValueError("the value contains itself, or is nested too deeply") from None


def loads(data: bytes | memoryview) -> Any:
    """Decode. Raises ValueError for what is no JSON in UTF-8."""
    try:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return json.loads(bytes(data).decode())
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


class _OddKeyError(Exception):
    """msgspec asks the hook about a dict's key, where only a string would help."""


def _plain(value: Any) -> object:
    """Turn what msgspec does not know into what it knows: numpy's values, paths and the like."""
    if type(value) in _KNOWN:
        raise _OddKeyError
    for base in (str, int, float):
        if isinstance(value, base):  # a subclass, which numpy's float64 is, too
            return base(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b64encode(value).decode()
    for method in ("isoformat", "tolist", "__fspath__"):
        convert = getattr(value, method, None)
        if callable(convert):
            return convert()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "__iter__"):
        return list(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"an object of type {type(value).__name__} has no form in JSON: {value!r:.80}")


def _simple(value: Any, above: set[int]) -> Any:
    """Copy a value as what the standard library encodes just as msgspec would."""
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        # Whatever it is: msgspec, or the hook, knows its form, unless a surrogate is inside.
        try:
            return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_plain))
        except (UnicodeEncodeError, TypeError, _OddKeyError):
            if is_dataclass(value):
                plain: object = {one.name: getattr(value, one.name) for one in fields(value)}
            else:
                plain = _plain(value)
            return _simple(plain, above)
    if id(value) in above:
        raise ValueError("the value contains itself")
    above.add(id(value))
    try:
        if isinstance(value, dict):
            return {_key(key): _simple(item, above) for key, item in value.items()}
        return [_simple(item, above) for item in value]
    finally:
        above.discard(id(value))


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    return str(key)
