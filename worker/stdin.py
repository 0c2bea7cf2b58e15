"""input() and getpass(): a question to the client that sent the request."""

from __future__ import annotations

import builtins
import getpass
import warnings
from itertools import count
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError

from ..shared.records import Kind
from . import jsons
from .here import here

if TYPE_CHECKING:
    from .channel import Sender
    from .context import Current


class Stdin:
    """Ask the client and wait for its answer."""

    def __init__(self, sender: Sender, current: Current) -> None:
        self._sender = sender
        self._current = current
        self._prompts = count(1)

    def install(self) -> None:
        """Take the place of ``input`` and ``getpass.getpass``."""
        builtins.input = self.input
        getpass.getpass = self.getpass

    def input(self, prompt: object = "", /) -> str:
        """Read a line from the client. Raises StdinNotImplementedError if it cannot answer."""
        __tracebackhide__ = True
        return self._ask(str(prompt), password=False)

    def getpass(
        self, prompt: str = "Password: ", stream: object = None, *, echo_char: str | None = None
    ) -> str:
        """Read a line from the client without showing it."""
        __tracebackhide__ = True
        del echo_char
        if stream is not None:
            warnings.warn("a kernel's getpass has no stream", UserWarning, stacklevel=2)
        return self._ask(prompt, password=True)

    def _ask(self, prompt: str, *, password: bool) -> str:
        __tracebackhide__ = True
        if not self._sender.is_ours():
            raise StdinNotImplementedError(
                "input() was called in a forked child; only the kernel's own process can ask."
            )
        if (receiver := here.receiver) is None:
            raise StdinNotImplementedError(
                "input() was called in a background thread; only a cell's own thread can ask."
            )
        if not here.can_ask:
            raise StdinNotImplementedError(
                "input() was called, but this frontend does not support input requests."
            )
        name = str(next(self._prompts)).encode()
        content = jsons.dumps({"prompt": prompt, "password": password})
        self._sender.send(Kind.INPUT, self._current.get().number, content, name)
        if (record := receiver.wait_for_answer(name)) is None:
            raise EOFError("the kernel is ending")
        return _value(jsons.loads(record.parts[0]))


def _value(content: object) -> str:
    value = content.get("value", "") if isinstance(content, dict) else ""
    text = value if isinstance(value, str) else str(value)
    if text == "\x04":  # Ctrl-D, as the console sends it
        raise EOFError
    return text
