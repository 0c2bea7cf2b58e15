"""Which request a piece of code belongs to.

Output names the request that caused it, also when it comes late (G4). Coroutines and callbacks
carry the answer in a context variable. A thread starts with an empty context (before Python 3.14),
so it carries the request of whoever started it as an attribute, and a function given to a thread
pool takes its own request along: the pool's threads are older than it. Code in a thread that
Python did not start belongs to the newest cell; nobody knows better.

A request lives as long as anything can still name it. When it is collected its number is noted as
forgotten, and the supervisor lets go of its header with the next BEGIN.
"""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, Token
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any

from . import jsons

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..shared.records import Record

_ATTRIBUTE = "_bulkhead_request"


class Request:
    """A request that the worker was given."""

    def __init__(self, number: int, msg_type: str = "", *parts: bytes) -> None:
        """Take the parts of a REQUEST record: header, content, metadata, then buffers."""
        self.number = number
        self.msg_type = msg_type
        self.raw_header, self.raw_content, self.raw_metadata = parts[:3] or (b"{}",) * 3
        self.buffers = parts[3:]
        self.began = time.monotonic()

    def __repr__(self) -> str:
        return f"<Request {self.number}: {self.msg_type}>"

    @classmethod
    def from_record(cls, record: Record) -> Request:
        """Make the request that a REQUEST record carries."""
        msg_type, *parts = record.parts
        return cls(record.number, msg_type.decode(), *parts)

    @cached_property
    def header(self) -> dict[str, Any]:
        """The client's header."""
        return dict(jsons.loads(self.raw_header))

    @cached_property
    def content(self) -> dict[str, Any]:
        """The content. Raises ValueError if the client sent no JSON object."""
        content = jsons.loads(self.raw_content)
        if not isinstance(content, dict):
            raise ValueError("the content is JSON, but no object")  # noqa: TRY004 - a bad value
        return content

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The client's metadata."""
        return dict(jsons.loads(self.raw_metadata))

    def own(self, thread: threading.Thread) -> None:
        """Let what a thread does that has not been started yet belong to this request."""
        setattr(thread, _ATTRIBUTE, self)

    def message(self) -> Message:
        """Give the message as handlers of comms and ``get_parent()`` know it."""
        return Message(
            self,
            header=self.header,
            msg_id=self.header.get("msg_id"),
            msg_type=self.msg_type,
            parent_header={},
            metadata=self.metadata,
            content=self.content,
            buffers=[memoryview(buffer) for buffer in self.buffers],
        )


class Message(dict[str, Any]):
    """A request as a dict, which keeps the request from being forgotten."""

    def __init__(self, request: Request, **fields: Any) -> None:
        super().__init__(fields)
        self.request = request


NOBODY = Request(0)
"""What start-up files and the like belong to."""


class _Reference(weakref.ref[Request]):
    """Notes by a method of C that a request was collected: nothing there can be interrupted."""

    __slots__ = ("number",)
    number: int


class Current:
    """The request that the calling code belongs to."""

    def __init__(self) -> None:
        self._variable: ContextVar[Request] = ContextVar("bulkhead_request")
        self._newest = NOBODY
        self._references: dict[int, _Reference] = {}
        self._forgotten: list[weakref.ref[Request]] = []

    def begin(self, request: Request, *, newest: bool = True) -> None:
        """Take the calling thread's next request: what it calls from here on belongs to it.

        With ``newest``, so does what threads do that Python did not start.
        """
        self._references[request.number] = _Reference(request, self._forgotten.append)
        self._references[request.number].number = request.number
        if newest:
            self._newest = request
        self._variable.set(request)

    @property
    def forgotten(self) -> list[int]:
        """The numbers that the next ``take_forgotten`` will give."""
        return [reference.number for reference in self._forgotten]  # type: ignore[attr-defined]

    def take_forgotten(self) -> list[int]:
        """Give the numbers of requests that nothing here can name any more, once each."""
        numbers = []
        with suppress(IndexError):  # another thread was quicker
            while self._forgotten:
                number: int = self._forgotten.pop().number  # type: ignore[attr-defined]
                self._references.pop(number, None)
                numbers.append(number)
        return numbers

    def enter(self, request: Request) -> Token[Request]:
        """Let what the calling context or thread does belong to a request; ``leave`` undoes it."""
        return self._variable.set(request)

    def leave(self, token: Token[Request]) -> None:
        """Undo ``enter``."""
        self._variable.reset(token)

    def get(self) -> Request:
        """Give the request of the calling coroutine or thread."""
        request = self._variable.get(None)
        if request is None:
            request = getattr(threading.current_thread(), _ATTRIBUTE, None)
        return self._newest if request is None else request

    def follow_threads(self) -> None:
        """From now on, threads and functions in thread pools know whose they are."""
        start, submit = threading.Thread.start, ThreadPoolExecutor.submit

        @wraps(start)
        def start_with_request(thread: threading.Thread) -> None:
            if not hasattr(thread, _ATTRIBUTE):
                setattr(thread, _ATTRIBUTE, self.get())
            start(thread)

        @wraps(submit)  # type: ignore[arg-type]
        def submit_with_request(
            pool: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
        ) -> Any:
            return submit(pool, self._run, self.get(), fn, *args, **kwargs)

        threading.Thread.start = start_with_request  # type: ignore[method-assign,assignment]
        ThreadPoolExecutor.submit = submit_with_request  # type: ignore[method-assign,assignment]

    def _run(self, request: Request, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        token = self.enter(request)
        try:
            return fn(*args, **kwargs)
        finally:
            self.leave(token)
