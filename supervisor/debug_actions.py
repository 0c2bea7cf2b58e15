"""What a debug session wants done: the connection, the files, the answers are not its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..shared.tuples import NamedTuple

if TYPE_CHECKING:
    from .dap import Message
    from .events import Request


class Answer(NamedTuple):
    """Answer a client's request."""

    request: Request
    response: Message


class Tell(NamedTuple):
    """Publish an event."""

    event: Message


class Send(NamedTuple):
    """Send a request to the debugger in the worker."""

    message: Message


class AskWorker(NamedTuple):
    """Ask the worker between two cells: to load its debugger, or what that is not needed for."""

    request: Request
    command: str
    arguments: Message


class Dump(NamedTuple):
    """Write a cell into its file, then give the answer."""

    path: str
    code: str
    answer: Answer


class ReadSource(NamedTuple):
    """Answer with the text of a file."""

    request: Request
    asked: Message
    path: str


class Close(NamedTuple):
    """Part from the debugger in the worker."""


Action = Answer | Tell | Send | AskWorker | Dump | ReadSource | Close
