"""The debugger's sockets and files, for Control: does what the session says, and decides nothing.

debugpy in the worker connects to us: we listen on the loopback interface for as long as it takes,
for one connection, and whoever comes has to know what only the worker was told. Nothing here waits.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from . import dap, debug_actions, events
from . import debug_words as words
from .debug_session import Session
from .errors import MalformedMessageError
from .wire import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .events import Reply, Request
    from .inboxes import Inboxes

log = logging.getLogger(__name__)

_READ = 1 << 16  # bytes at a time
_HOST = "127.0.0.1"
_LARGEST_SOURCE = 1 << 24  # bytes; more is no file to read code in
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux


class Debugger:
    """A session, its connection and its folder of cells. Used by the main thread alone."""

    def __init__(self, inboxes: Inboxes, poller: zmq.Poller) -> None:
        self._to_iopub = inboxes.iopub
        self._to_shell = inboxes.shell
        self._poller = poller
        # The name is told at once; the folder is there when a cell is to be put into it.
        self._folder = Path(tempfile.gettempdir()) / f"bulkhead-{secrets.token_hex(8)}"
        self.prefix = f"{self._folder}{os.sep}"
        """What the file names of cells begin with."""
        self._session = Session(self.prefix)
        self._listener: socket.socket | None = None
        self._connection: socket.socket | None = None
        self._token = ""
        self._decoder = dap.Decoder()
        self._outgoing = bytearray()

    def __repr__(self) -> str:
        return f"<Debugger: {self._session}>"

    # What happens.

    def asked(self, request: Request) -> None:
        """Take a client's debug_request."""
        try:
            content: object = request.message.parsed_content()
        except MalformedMessageError as error:
            self._answer(request, words.refusal({}, str(error)))
            return
        self._perform(self._session.ask(request, content))

    def told(self, reply: Reply) -> None:
        """Take the worker's reply to what it was asked."""
        content = _content_of(reply)
        if self._listener is not None and self._session.starts(reply.request):
            self._accept(self._listener)  # it has connected before it replied
            if self._listener is not None and content.get("status") == "ok":
                content = {"status": "error", "evalue": words.NOT_AGAIN}
        self._perform(self._session.worker_told(reply.request, content))

    def let_go(self) -> None:
        """Let what stands at a breakpoint go on: it was interrupted."""
        self._perform(self._session.let_go())

    def died(self) -> None:
        """Part from a worker that has ended."""
        self._disconnect()
        self._perform(self._session.lost())

    def close(self) -> None:
        """Leave nothing behind."""
        self._disconnect()
        self._stop_listening()
        shutil.rmtree(self._folder, ignore_errors=True)

    def serve(self, ready: dict[Any, int]) -> None:
        """See to those of its sockets that the poller found ready."""
        if self._listener is not None and self._listener.fileno() in ready:
            self._accept(self._listener)
        elif (connection := self._connection) is not None:
            state = ready.get(connection.fileno(), 0)
            if state & zmq.POLLOUT:
                self._write()
            if state & ~zmq.POLLOUT:
                self._read(connection)

    # The connection.

    def _listen(self) -> tuple[int, str]:
        self._stop_listening()
        self._listener = socket.create_server((_HOST, 0), backlog=1)
        self._listener.setblocking(False)
        self._poller.register(self._listener.fileno(), zmq.POLLIN)
        self._token = secrets.token_hex(16)
        return self._listener.getsockname()[1], self._token

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._poller.unregister(listener.fileno())
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # it has gone again
            return
        self._stop_listening()
        self._disconnect()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._decoder = dap.Decoder()
        self._poller.register(connection.fileno(), zmq.POLLIN)
        self._perform(self._session.connected(self._token))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._outgoing.clear()
        if connection is not None:
            self._poller.unregister(connection.fileno())
            connection.close()

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(_READ)
            if _QUICKACK is not None:  # debugpy sends a head, waits for that, then sends the body
                connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            messages = self._decoder.feed(data)
        except BlockingIOError:
            return
        except (OSError, dap.FramingError) as error:
            log.warning("the debugger of the worker is not listened to any more: %s", error)
            data, messages = b"", []
        if not data:
            self.died()
            return
        for message in messages:
            log.debug("debugger: %.500s", message)
            self._perform(self._session.heard(message))

    def _write(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            while self._outgoing:
                del self._outgoing[: connection.send(self._outgoing)]
        except BlockingIOError:
            self._poller.register(connection.fileno(), zmq.POLLIN | zmq.POLLOUT)
            return
        except OSError:
            self._outgoing.clear()  # reading tells the end
        self._poller.register(connection.fileno(), zmq.POLLIN)

    # What is to be done.

    def _perform(self, actions: Iterable[debug_actions.Action]) -> None:
        for action in actions:
            match action:
                case debug_actions.Answer(request, response):
                    self._answer(request, response)
                case debug_actions.Tell(event):
                    self._to_iopub.put(events.DebugEvent(dumps(event)))
                case debug_actions.Send(message):
                    self._outgoing += dap.encode(message)
                    self._write()
                case debug_actions.AskWorker():
                    self._ask_worker(action)
                case debug_actions.Dump():
                    self._dump(action)
                case debug_actions.ReadSource():
                    self._read_source(action)
                case debug_actions.Close():
                    self._disconnect()
                    self._stop_listening()

    def _answer(self, request: Request, response: dap.Message) -> None:
        self._to_iopub.put(events.Answer(request, "debug_reply", dumps(response)))

    def _ask_worker(self, action: debug_actions.AskWorker) -> None:
        arguments = action.arguments
        if action.command == "start":
            try:
                port, token = self._listen()
            except OSError as error:
                why = f"The kernel cannot listen on {_HOST} for the debugger: {error.strerror}."
                self._perform(self._session.failed(why))
                return
            arguments = arguments | {"host": _HOST, "port": port, "token": token}
        content = dumps({"command": action.command, "arguments": arguments})
        message = action.request.message._replace(content=content)
        self._to_shell.put(events.Forwarded(message, "internal"))

    def _dump(self, action: debug_actions.Dump) -> None:
        request, response = action.answer
        try:
            with suppress(FileExistsError):
                self._folder.mkdir(0o700)
            Path(action.path).write_text(action.code, "utf-8", "surrogatepass")
        except OSError as error:
            why = f"The cell could not be written to {action.path}: {error.strerror}."
            response = words.refusal(response, why)
        self._answer(request, response)

    def _read_source(self, action: debug_actions.ReadSource) -> None:
        try:
            text = _read_file(action.path)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            response = words.refusal(action.asked, f"{action.path} cannot be read: {why}.")
        else:
            response = words.response(action.asked, {"content": text})
        self._answer(action.request, response)


def _content_of(reply: Reply) -> dict[str, Any]:
    """Read what a worker replied, which may be anything (G26)."""
    try:
        content = json.loads(reply.content)
    except (ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else {"status": "error"}


def _read_file(path: str) -> str:
    """Read a file, never waiting for a writer. Raises OSError and ValueError."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no file")
        return file.read(_LARGEST_SOURCE).decode("utf-8", "replace")
