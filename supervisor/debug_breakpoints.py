"""The breakpoints that clients have set. They survive the worker, and are sent to the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import debug_words as words

if TYPE_CHECKING:
    from .dap import Message


class Breakpoints:
    """Breakpoints by their file, and what else makes a debugger stop, by its command."""

    def __init__(self) -> None:
        self._places: dict[str, list[Message]] = {}
        self._others: dict[str, Message] = {}

    def __repr__(self) -> str:
        return f"<Breakpoints: {self._places}, {self._others}>"

    def clear(self) -> None:
        """Forget all of them."""
        self._places.clear()
        self._others.clear()

    def listed(self) -> list[Message]:
        """List them as debugInfo does."""
        return [
            {"source": source, "breakpoints": places} for source, places in self._places.items()
        ]

    def wanted(self, asked: Message) -> None:
        """Note a request that sets some. Raises MalformedError."""
        if asked["command"] == "setBreakpoints":
            source, places = words.places(asked)
            self._note(source, places)
        else:
            self._others[asked["command"]] = words.arguments(asked)

    def placed(self, asked: Message, response: Message) -> None:
        """Note where debugpy has put them: not every line can stop."""
        if asked["command"] == "setBreakpoints" and response.get("success"):
            source, places = words.places(asked)
            self._note(source, words.moved(places, response))

    def again(self) -> list[Message]:
        """Give the requests that set them all."""
        requests: list[Message] = []
        for source, places in self._places.items():
            details = {"source": {"path": source}, "breakpoints": places, "sourceModified": False}
            requests.append({"command": "setBreakpoints", "arguments": details})
        for command, details in self._others.items():
            requests.append({"command": command, "arguments": details})
        return requests

    def _note(self, source: str, places: list[Message]) -> None:
        if places:
            self._places[source] = places
        else:
            self._places.pop(source, None)
