"""A strict client: each receive asserts that the *next* message is the expected one.

Nothing here waits for time to pass. A receive has a deadline so that a hang is a failure and not a
hang; whoever wants to know that nothing more comes asks for something and looks what came first
(``settle``), or waits until the other end of the connection is gone (``close``).

Text of one stream may come in any number of pieces (the kernel joins neighbours, and the clock
decides how many). So ``recv_stream`` takes pieces until the expected text is complete, and
transcripts merge neighbours of one stream and one parent; everything else is compared as it came.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import select
import signal
import socket as sockets
import subprocess
import sys
import time
import uuid
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from random import SystemRandom
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil
import zmq
from zmq.utils.monitor import recv_monitor_message

DEADLINE = 30.0
"""Seconds after which what has not come will not come."""

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
DELIMITER = b"<IDS|MSG>"
SUPERVISOR = (sys.executable, "-m", "bulkhead_kernel.supervisor")
MARKER = "BULKHEAD_TEST_MARKER"

ENTRIES = {
    "stream": lambda content: (content["name"], content["text"]),
    "status": lambda content: ("status", content["execution_state"]),
    "display_data": lambda content: ("display", content["data"].get("text/plain")),
    "update_display_data": lambda content: ("update", content["data"].get("text/plain")),
    "execute_result": lambda content: ("result", content["data"].get("text/plain")),
    "clear_output": lambda content: ("clear", content["wait"]),
    "error": lambda content: ("error", content["ename"]),
    "execute_input": lambda content: ("input", content["code"]),
    "comm_open": lambda content: ("comm_open", content["data"]),
    "comm_msg": lambda content: ("comm_msg", content["data"]),
    "comm_close": lambda content: ("comm_close", content["data"]),
}
"""How a message looks in a transcript, by its type; others keep their content."""

UNWARNED = "import warnings; warnings.filterwarnings('ignore', '.*multi-threaded')"
"""A cell after which Python 3.12 tells no more that it forks beside threads."""

_PORTS = range(20_000, 32_000)
_SHARES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_recent_ports: deque[int] = deque(maxlen=500)  # what was chosen may not be bound yet


class UnexpectedError(AssertionError):
    """What came is not what had to come."""


class Message(NamedTuple):
    """One message as it came, its signature checked."""

    identities: list[bytes]
    header: dict[str, Any]
    parent: dict[str, Any]
    metadata: dict[str, Any]
    content: dict[str, Any]
    buffers: list[bytes]

    @property
    def type(self):
        return self.header["msg_type"]

    @property
    def parent_id(self):
        return self.parent.get("msg_id")

    @property
    def entry(self):
        """What it says, as a pair that reads well in an assertion."""
        return ENTRIES.get(self.type, lambda content: (self.type, content))(self.content)


class Transcript(list):
    """What a cell published between its input and its idle, as (kind, value), and its reply."""

    reply: dict[str, Any]
    messages: list[Message]


def merged(entries):
    """Join neighbours that are text of one stream (and of one parent, if there is one)."""
    out = []
    for *whose, kind, value in entries:
        if out and kind in ("stdout", "stderr") and out[-1][:-1] == (*whose, kind):
            out[-1] = (*whose, kind, out[-1][-1] + value)
        else:
            out.append((*whose, kind, value))
    return out


def free_ports(count):
    """Choose ports on which nobody listens.

    They are below the range from which the system gives ports to connections: a client that tries
    to connect before the kernel listens could otherwise be connected to itself. Each of several
    processes that run tests side by side has its own.
    """
    found: list[int] = []
    random = SystemRandom()
    ours = _PORTS[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) :: _SHARES]
    while len(found) < count:
        port = random.choice(ours)
        if port in _recent_ports:
            continue
        with sockets.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _recent_ports.append(port)
            found.append(port)
    return found


def listens(url):
    """Tell whether a server answers: a Jupyter server says its address before it listens there."""
    address = urlsplit(url)
    with suppress(ConnectionRefusedError):
        sockets.create_connection((address.hostname, address.port), timeout=DEADLINE).close()
        return True
    return False


class Gate:
    """Where code in a kernel waits for a word of the test: a named pipe."""

    def __init__(self, folder):
        self.path = Path(folder) / f"gate-{uuid.uuid4().hex}"
        os.mkfifo(self.path)

    @property
    def wait(self):
        """An expression that waits, and is the word."""
        return f"open({str(self.path)!r}).read()"

    def open(self, word=""):
        """Say the word to whoever waits, or waits next."""
        self.path.write_text(word)

    def meet(self):
        """Return the file to say it in, as soon as somebody waits; the word is over at its end.

        An interrupt that is sent before this finds the waiting code anywhere, or gone.
        """
        return self.path.open("w")


class Client:
    """One client: five sockets, and the memory of what it sent."""

    def __init__(self, connection, *, topics=(b"",), welcome=True, patient=True):
        self.connection = connection
        self.patient = patient  # takes in what comes; else what is not received is not taken in
        self.identity = uuid.uuid4().hex.encode()
        self.session = uuid.uuid4().hex
        self.kernel_session = None
        self.context = zmq.Context()
        self.sockets = {}
        self.monitors = {}
        self._sent = {}
        self._received = set()
        self._held = []  # messages of IOPub that were looked at and not yet received
        for channel in CHANNELS:
            self._open(channel)
        for topic in topics:
            self.sockets["iopub"].subscribe(topic)
        if welcome:
            for topic in topics:
                self.recv_welcome(topic)

    def _open(self, channel):
        kinds = {"iopub": zmq.SUB, "hb": zmq.REQ}
        socket = self.context.socket(kinds.get(channel, zmq.DEALER))
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = 0
        if not self.patient:
            socket.rcvhwm = 1
            socket.setsockopt(zmq.RCVBUF, 4096)
        socket.setsockopt(zmq.RECONNECT_IVL, 5)
        if channel not in kinds:
            socket.setsockopt(zmq.IDENTITY, self.identity)
        if public := self.connection.get("curve_publickey"):
            ours = zmq.curve_keypair()  # any pair will do: the kernel's public key is the ticket
            socket.curve_publickey, socket.curve_secretkey = ours
            socket.curve_serverkey = public.encode()
        if channel != "hb":
            self.monitors[channel] = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        socket.connect(self.url(channel))
        self.sockets[channel] = socket

    def url(self, channel):
        fields = self.connection
        separator = "-" if fields["transport"] == "ipc" else ":"
        return f"{fields['transport']}://{fields['ip']}{separator}{fields[f'{channel}_port']}"

    # Sending.

    def sign(self, parts):
        key = self.connection["key"].encode()
        if not key:
            return b""
        digest = hmac.new(key, digestmod=self.connection["signature_scheme"].removeprefix("hmac-"))
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode()

    def header(self, msg_type, **fields):
        return {
            "msg_id": uuid.uuid4().hex,
            "msg_type": msg_type,
            "session": self.session,
            "username": "tester",
            "date": "2026-01-01T00:00:00+00:00",
            "version": "5.5",
        } | fields

    def frames(self, header, content, *, parent=None, metadata=None, buffers=()):
        """Make the frames of a message. Bytes are taken as they are."""
        parts = [
            part if isinstance(part, bytes) else json.dumps(part).encode()
            for part in (header, parent or {}, metadata or {}, content)
        ]
        return [DELIMITER, self.sign(parts), *parts, *buffers]

    def send_frames(self, channel, frames):
        self.sockets[channel].send_multipart(frames)

    def send(self, channel, msg_type, content=None, *, header=None, **more):
        """Send a request; give its msg_id."""
        head = self.header(msg_type, **(header or {}))
        self._sent[head["msg_id"]] = head
        self.send_frames(channel, self.frames(head, {} if content is None else content, **more))
        return head["msg_id"]

    def execute(self, code, *, metadata=None, **options):
        """Send an execute_request; give its msg_id."""
        content = {"code": code, "silent": False, "allow_stdin": False} | options
        return self.send("shell", "execute_request", content, metadata=metadata)

    def send_input(self, value, prompt, *, content=None):
        """Answer a prompt."""
        answer = {"value": value} if content is None else content
        return self.send("stdin", "input_reply", answer, parent=prompt.header)

    def interrupt(self):
        """Ask for an interrupt; give its msg_id. Nothing is received."""
        return self.send("control", "interrupt_request")

    # Receiving.

    def recv(self, channel, msg_type=None, parent=None, *, deadline=DEADLINE):
        """Receive the next message of a channel; it has to be of this type and of this parent."""
        message = self._next(channel, deadline)
        if msg_type is not None:
            self._expect(message, msg_type, parent, channel)
        return message

    def _expect(self, message, msg_type, parent, channel="iopub"):
        if (message.type, message.parent_id) != (msg_type, parent):
            ours = self._sent.get(message.parent_id, {}).get("msg_type", message.parent_id)
            raise UnexpectedError(
                f"on {channel}, {msg_type} of {parent} had to come; "
                f"{message.type} of {message.parent_id} ({ours}) came: "
                f"{str(message.content)[:2000]}"
            )

    def _next(self, channel, deadline=DEADLINE):
        if channel == "iopub" and self._held:
            return self._held.pop(0)
        socket = self.sockets[channel]
        if not self._wait_for(socket, deadline):
            raise UnexpectedError(f"nothing came on {channel} in {deadline} s")
        return self.parse(channel, socket.recv_multipart())

    def _wait_for(self, socket, deadline):
        return socket.poll(deadline * 1000)

    def parse(self, channel, frames):
        at = frames.index(DELIMITER)
        signature, *parts = frames[at + 1 : at + 6]
        assert signature == self.sign(parts), "the kernel's signature is wrong"
        header, parent, metadata, content = map(json.loads, parts)
        message = Message(frames[:at], header, parent, metadata, content, frames[at + 6 :])
        self._check(channel, message)
        return message

    def _check(self, channel, message):
        header = message.header
        assert datetime.fromisoformat(header["date"]).tzinfo is not None
        assert header["version"].startswith("5.")
        assert header["msg_id"] not in self._received, "a msg_id came twice"
        self._received.add(header["msg_id"])
        if self.kernel_session is None:
            self.kernel_session = header["session"]
        assert header["session"] == self.kernel_session, "the kernel's session changed (G24)"
        if message.parent_id in self._sent:
            assert message.parent == self._sent[message.parent_id]
        if channel == "iopub":
            assert len(message.identities) == 1, "one frame of topic stands before the delimiter"
        else:
            assert not message.identities, "the reply carries the identity that it was asked with"

    def recv_welcome(self, topic=b""):
        message = self.recv("iopub", "iopub_welcome", None)
        assert message.parent == {}
        assert message.identities == [topic]
        assert message.content == {"subscription": topic.decode()}

    def recv_status(self, state, parent):
        message = self.recv("iopub", "status", parent)
        assert message.content == {"execution_state": state}, (message.content, state)

    def recv_busy(self, parent):
        self.recv_status("busy", parent)

    def recv_idle(self, parent):
        self.recv_status("idle", parent)

    def recv_input(self, parent, code=None):
        """Receive the execute_input of a cell."""
        message = self.recv("iopub", "execute_input", parent)
        if code is not None:
            assert message.content["code"] == code
        return message.content["execution_count"]

    def recv_begin(self, parent):
        """Receive what every cell begins with: busy and its input."""
        self.recv_busy(parent)
        self.recv_input(parent)

    def recv_stream(self, name, text, parent):
        """Receive text, in any number of pieces, each of which has to go on with it."""
        rest = text
        while rest:
            message = self.recv("iopub", "stream", parent)
            content = message.content
            assert content["name"] == name, f"{content} came instead of {name} {rest[:200]!r}"
            assert content["text"], "an empty stream message"
            if not rest.startswith(content["text"]):
                raise UnexpectedError(
                    f"{name}: {rest[:2000]!r} had to come; {content['text'][:2000]!r} came"
                )
            rest = rest[len(content["text"]) :]

    def recv_display(self, parent, text):
        message = self.recv("iopub", "display_data", parent)
        assert message.content["data"]["text/plain"] == text
        return message

    def recv_result(self, parent, text):
        message = self.recv("iopub", "execute_result", parent)
        assert message.content["data"]["text/plain"] == text
        return message

    def recv_error(self, parent, ename):
        """Receive an error; give its content."""
        content = self.recv("iopub", "error", parent).content
        assert content["ename"] == ename, content
        assert set(content) == {"ename", "evalue", "traceback"}
        return content

    def recv_reply(self, parent, status="ok", msg_type="execute_reply", channel="shell"):
        """Receive a reply; give its content."""
        message = self.recv(channel, msg_type, parent)
        content = message.content
        assert content["status"] == status, content
        if msg_type == "execute_reply":
            has_run = status != "aborted"
            assert isinstance(content.get("execution_count"), int) is has_run, content
            if status == "error":
                assert {"ename", "evalue", "traceback"} <= set(content)
        return content

    def recv_crash(self, parent, ename="KernelExited", *, msg_type="execute_reply"):
        """Receive what a crash in a request yields: error, idle, reply, in this order and once."""
        error = self.recv_error(parent, ename)
        assert " " in error["evalue"], "it says why in words"
        assert error["traceback"]
        self.recv_idle(parent)
        if msg_type is not None:
            reply = self.recv_reply(parent, "error", msg_type)
            assert {name: reply[name] for name in error} == error
        return error

    def recv_obituary(self, ename):
        """Receive what a death between requests yields: its text on stderr, by nobody's request."""
        message = self.recv("iopub", "stream", None)
        assert message.parent == {}
        assert message.content["name"] == "stderr"
        assert ename in message.content["text"]

    def recv_aborted(self, parent):
        """Receive all that a queued cell gets that is not run."""
        self.recv_busy(parent)
        self.recv_idle(parent)
        self.recv_reply(parent, "aborted")

    def recv_until_idle(self, parent, *, others=False):
        """Receive what there is up to idle(parent), exclusively."""
        messages = []
        while True:
            message = self.recv("iopub")
            if message.parent_id == parent and message.entry == ("status", "idle"):
                return messages
            if not others and message.parent_id != parent:
                raise UnexpectedError(
                    f"a message of {message.parent_id} came amid {parent}: {message}"
                )
            messages.append(message)

    def finish(self, parent, status="ok", *, begun=False):
        """Receive the rest of a cell that was sent; give its transcript."""
        if not begun:
            self.recv_busy(parent)
        messages = self.recv_until_idle(parent)
        if not begun and self._is_loud(parent):
            assert messages, "execute_input is missing"
            self._expect(messages[0], "execute_input", parent)
            messages = messages[1:]
        for message in messages:
            assert message.type not in ("status", "execute_input"), message
        out = Transcript(merged(message.entry for message in messages))
        out.messages = messages
        out.reply = self.recv_reply(parent, status)
        return out

    def _is_loud(self, parent):
        return parent not in self._silent

    _silent: frozenset[str] = frozenset()

    def run(self, code, status="ok", **options):
        """Run a cell; give its transcript. Everything between its busy and its idle is its own."""
        parent = self.execute(code, **options)
        if options.get("silent"):
            self._silent |= {parent}
        return self.finish(parent, status)

    def request(self, msg_type, content=None, status="ok", channel="shell", **more):
        """Send a request that publishes nothing but its pair; give the content of its reply."""
        parent = self.send(channel, msg_type, content, **more)
        self.recv_busy(parent)
        self.recv_idle(parent)
        if not msg_type.endswith("_request"):
            return None
        reply = self.recv(channel, msg_type.removesuffix("_request") + "_reply", parent).content
        if msg_type != "is_complete_request":
            assert reply["status"] == status, reply
        return reply

    def hold(self, gate, then=""):
        """Start a cell that waits at a gate and then goes on; it runs when this returns."""
        parent = self.execute(f"print('held')\n{gate.wait};\n{then}", stop_on_error=True)
        self.recv_begin(parent)
        self.recv_stream("stdout", "held\n", parent)
        return parent

    def beat(self):
        """Ask for a heartbeat, and get it."""
        ping = uuid.uuid4().bytes
        socket = self.sockets["hb"]
        socket.send(ping)
        if not socket.poll(DEADLINE * 1000):
            raise UnexpectedError("no heartbeat")
        assert socket.recv() == ping

    # Nothing more.

    def arrived(self):
        """Make sure that the kernel has all that was sent on shell: it answers in order."""
        self.request("kernel_info_request")

    def settle(self):
        """Assert that nothing is left over that the kernel had to say until now.

        Sockets keep order. What was handed to one before the answer to this question comes first.
        """
        for channel in ("shell", "control"):
            self.request("kernel_info_request", channel=channel)
        self.assert_silent()

    def assert_silent(self):
        """Assert that nothing has arrived."""
        assert not self._held, f"left over on iopub: {self._held}"
        for channel in CHANNELS[:4]:
            if self.sockets[channel].poll(0):
                message = self.parse(channel, self.sockets[channel].recv_multipart())
                raise UnexpectedError(f"left over on {channel}: {message}")

    def assert_ended(self):
        """Assert that nothing is left over after the kernel has closed its sockets."""
        for channel, monitor in self.monitors.items():
            if not monitor.poll(DEADLINE * 1000):
                raise UnexpectedError(f"the kernel's {channel} socket is still open")
            recv_monitor_message(monitor)
        # A connection that is reported as ended has been read to its end.
        self.assert_silent()

    def close(self):
        """Let go of the sockets."""
        for channel, socket in self.sockets.items():
            if channel in self.monitors:
                socket.disable_monitor()
                self.monitors[channel].close()
            socket.close()
        self.context.term()


class Kernel:
    """The process of a kernel, and everything that descends from it."""

    def __init__(
        self,
        folder,
        *,
        command=SUPERVISOR,
        options=(),
        transport="tcp",
        env=None,
        fields=None,
        pass_fds=(),
        start=True,
    ):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.command = (*command, *options)
        ports = free_ports(5) if transport == "tcp" else range(1, 6)
        self.connection = {
            "transport": transport,
            "ip": "127.0.0.1" if transport == "tcp" else str(self.folder / "s"),
            "key": uuid.uuid4().hex,
            "signature_scheme": "hmac-sha256",
            "kernel_name": "bulkhead",
            **{f"{name}_port": port for name, port in zip(CHANNELS, ports, strict=True)},
        } | (fields or {})
        self.file = self.folder / "connection.json"
        self.file.write_text(json.dumps(self.connection))
        self.marker = uuid.uuid4().hex
        self.env = environment(self.folder) | {MARKER: self.marker} | (env or {})
        self.log = self.folder / "log.txt"
        self.pass_fds = pass_fds
        self.process = self.pidfd = None
        if start:
            self.start()

    def start(self):
        """Start it, as jupyter_client starts a kernel."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "-f", str(self.file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.folder,
                start_new_session=True,
                pass_fds=self.pass_fds,
            )
        if self.pidfd is not None:
            os.close(self.pidfd)
        self.pidfd = os.pidfd_open(self.process.pid)

    def close(self):
        """Let go of the handle of the supervisor."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    @property
    def pid(self):
        return self.process.pid

    def wait(self, deadline=DEADLINE):
        """Wait for the supervisor's end; give its exit code."""
        return self.process.wait(deadline)

    def processes(self):
        """Find every process that descends from this kernel, whatever its parent or session."""
        found = []
        needle = f"{MARKER}={self.marker}".encode()
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with suppress(OSError):
                    if needle in (process / "environ").read_bytes():
                        found.append(int(process.name))
        return found

    def family(self):
        """Give the processes below the supervisor by parentage, with itself."""
        supervisor = psutil.Process(self.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def assert_gone(self, deadline=5.0, spared=()):
        """Assert that nothing of the kernel is left, or will be within the deadline."""
        end = time.monotonic() + deadline
        for pid in self.processes():
            if pid not in spared and not wait_gone(pid, end - time.monotonic()):
                left = [" ".join(p.cmdline()) + f" {p!r}" for p in map(psutil.Process, [pid])]
                raise UnexpectedError(f"a process of the kernel is left after {deadline} s: {left}")

    def kill(self):
        """End everything that this kernel started, by pid."""
        while pids := self.processes():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in pids:
                wait_gone(pid, DEADLINE)
        if self.process is not None:
            self.process.wait()

    def assert_quiet_log(self):
        """Assert that the supervisor has logged no error of its own."""
        text = self.log.read_text(errors="replace")
        for word in ("Traceback", "CRITICAL", " ERROR "):
            assert word not in text, text


class Frontend(Client):
    """A client that has started its own kernel."""

    def __init__(self, folder, *, topics=(b"",), meanwhile=lambda kernel: None, **options):
        self.kernel = Kernel(folder, **options)
        self.clients = []
        self.logs_errors = False
        try:
            meanwhile(self.kernel)  # it has been started and that is all
            super().__init__(self.kernel.connection, topics=topics)
        except BaseException:
            self._let_go()
            raise

    def _wait_for(self, socket, deadline):
        """Wait, but not for a kernel that is gone: what it sent is here at once."""
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(self.kernel.pidfd, zmq.POLLIN)
        ready = dict(poller.poll(deadline * 1000))
        return socket in ready or (self.kernel.pidfd in ready and socket.poll(1000))

    def _next(self, channel, deadline=DEADLINE):
        try:
            return super()._next(channel, deadline)
        except UnexpectedError as error:
            error.add_note(f"the kernel's log:\n{self.kernel.log.read_text(errors='replace')}")
            error.add_note(f"its family: {self._family()}")
            raise

    def _family(self):
        with suppress(psutil.Error):
            return self.kernel.family()
        return None

    def connect(self, *, topics=(b"",), welcome=True, **options):
        """Connect another client to the same kernel; its welcomes reach older ones, too."""
        client = Client(self.connection, topics=topics, welcome=False, **options)
        older = [self, *self.clients]
        self.clients.append(client)
        if welcome:
            for topic in topics:
                for each in (client, *older):
                    each.recv_welcome(topic)
        return client

    def disconnect(self, client):
        """Let another client go."""
        self.clients.remove(client)
        client.close()

    def worker_pid(self):
        """Ask the worker for its pid, as a cell of its own."""
        (entry,) = self.run("__import__('os').getpid()")
        return int(entry[1])

    def shutdown(self, *, restart=False):
        """Shut the idle kernel down, receiving all that belongs to it."""
        comms = self.request("comm_info_request")["comms"]
        parent = self.send("control", "shutdown_request", {"restart": restart})
        self.recv_closed_comms(comms)
        self.recv_shutdown(parent, restart=restart)

    def recv_closed_comms(self, comms):
        """Receive the end of every comm that was open, in order, by nobody's request (G17)."""
        for comm_id in comms:
            message = self.recv("iopub", "comm_close", None)
            assert message.content == {"comm_id": comm_id, "data": {}}

    def recv_shutdown(self, parent, *, restart=False):
        """Receive the answer to a shutdown_request."""
        content = {"status": "ok", "restart": restart}
        self.recv_busy(parent)
        assert self.recv("iopub", "shutdown_reply", parent).content == content
        self.recv_idle(parent)
        assert self.recv("control", "shutdown_reply", parent).content == content

    def end(self, *, exit_code=0, spared=()):
        """Assert that the kernel has ended as it should and has left nothing behind."""
        code = self.kernel.wait()
        assert code == exit_code, (code, self.kernel.log.read_text(errors="replace"))
        self.kernel.assert_gone(spared=spared)
        for pid in spared:
            assert not wait_gone(pid, 0), "a child in a session of its own is spared"
        self.assert_ended()
        if not self.logs_errors:
            self.kernel.assert_quiet_log()
        self._let_go()

    def finish_kernel(self):
        """Settle, shut down, and assert that all is gone."""
        self.settle()
        self.shutdown()
        self.end()

    def finish_or_give_up(self):
        """Do that; by force, if something is wrong."""
        try:
            self.finish_kernel()
        except BaseException:
            self.give_up()
            raise

    def give_up(self):
        """End everything by force: the test has failed already."""
        self._let_go()

    def _let_go(self):
        self.kernel.kill()
        self.kernel.close()
        for client in self.clients:
            client.close()
        if hasattr(self, "sockets"):
            self.close()


@contextmanager
def kernel(folder, **options):
    """Start a kernel and be its strict client; at the end nothing may be left over.

    A test that ends the kernel itself calls ``end``.
    """
    frontend = Frontend(folder, **options)
    try:
        yield frontend
    except BaseException:
        frontend.give_up()
        raise
    if not frontend.context.closed:
        frontend.finish_or_give_up()


def environment(folder):
    """Give the environment of a kernel: the user's, without the user's own IPython."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JPY_", "JUPYTER", "IPYTHON", "BULKHEAD", "MPLBACKEND", "PY"))
    }
    # The default depends on how long cells take, and so does what a crash leaves. Tests of
    # recovery switch it on; all others can be run with it, too.
    env["BULKHEAD_RECOVER"] = os.environ.get("TEST_RECOVER", "off")
    return env | {
        "IPYTHONDIR": str(Path(folder) / "ipython"),
        "HOME": str(folder),
        # What libraries compute once (parsed modules, fonts) may be shared; it is no configuration.
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
    }


def wait_gone(pid, seconds):
    """Wait until a process has ended (a zombie has); tell whether it did."""
    with ExitStack() as stack:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        stack.callback(os.close, fd)
        return bool(select.select([fd], [], [], max(0.0, seconds))[0])


def digest(text):
    """Name a long text in an assertion."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
