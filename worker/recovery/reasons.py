"""Why a variable was not moved, in words that fit into a list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 200  # characters of a reason
_NAMED = 60  # names, or reasons, in a list
_LONGEST_WORD = 250
_LONGEST_LIST = 24_000  # bytes: two of them fit into one packet
_PLAIN = ("cannot pickle", "can't pickle", "it contains ", "a ", "an ")


def reason(error: BaseException) -> str:
    """Say in one line why something cannot be moved."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - the user's own __str__
        text = ""
    if not text.startswith(_PLAIN):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def listed(words: Iterable[str]) -> tuple[str, ...]:
    """Cut a list that nobody would read to its end."""
    found: list[str] = []
    left = _LONGEST_LIST
    for word in words:
        cut = word[:_LONGEST_WORD]
        left -= len(json.dumps(cut, ensure_ascii=False).encode("utf-8", "replace"))
        if len(found) == _NAMED or left < 0:
            break
        found.append(cut)
    return tuple(found)
