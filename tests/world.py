"""A kernel in miniature, in every order in which things can happen.

Around the real transcript, queue, lifecycle, frames and records stand small models of what is not
pure: clients, the threads of the supervisor, a worker with its threads and children, death, the
clock. Each is a generator that yields wherever somebody else may come in between; what it yields
is what it waits for (None: for nothing).

``every_schedule`` runs such a world again and again until every order of steps was tried. Two
schedules that lead to the same state, everything that was said until then included, go on alike,
so only the first of them is followed. The state of a world is what its objects and its generators'
frames hold; none of them has to say what matters.
"""

from __future__ import annotations

import json
from codecs import getincrementaldecoder
from collections import deque
from itertools import count
from types import FunctionType, GeneratorType
from typing import NamedTuple

from bulkhead_kernel.shared import frames, records
from bulkhead_kernel.shared.records import Kind
from bulkhead_kernel.supervisor import events
from bulkhead_kernel.supervisor.actions import Publish, TellControl, TellShell
from bulkhead_kernel.supervisor.answers import FOR_THE_WORKER
from bulkhead_kernel.supervisor.events import Request
from bulkhead_kernel.supervisor.lifecycle import Do, Event, Lifecycle, State
from bulkhead_kernel.supervisor.post_mortem import STOPPED, gave_up
from bulkhead_kernel.supervisor.queue import Queue, Turn
from bulkhead_kernel.supervisor.transcript import Transcript, reply_type
from telling import CRASH, STOPPING, message, tell

OK = b'{"status":"ok"}'


def every_schedule(build):
    """Give the world that ``build`` makes at the end of each of its schedules."""
    known, branches = set(), []  # branches: for each step, who could take it, next to try first
    while True:
        world = build()
        for ready in branches:
            world.parts[ready[0]].step()
        while (state := world.state()) not in known:
            known.add(state)
            ready = [at for at, part in enumerate(world.parts) if part.ready()]
            if not ready:
                yield world
                break
            branches.append(ready)
            world.parts[ready[0]].step()
        while branches and len(branches[-1]) == 1:
            branches.pop()
        if not branches:
            return
        branches[-1] = branches[-1][1:]


class Part:
    """Something that runs by itself, one step at a time."""

    def __init__(self, name, life):
        self.name = name
        self.life = life
        self.over = False
        self.step()  # to its first yield

    def __repr__(self):
        return f"<{self.name}>"

    def ready(self):
        return not self.over and (self._waits_for is None or bool(self._waits_for()))

    def step(self):
        try:
            self._waits_for = next(self.life)
        except StopIteration:
            self.over = True

    def end(self):
        self.over = True


class Box:
    """An inbox, or a socket: first in, first out."""

    def __init__(self):
        self.items = []

    def put(self, item):
        self.items.append(item)

    def drain(self):
        items, self.items = self.items, []
        return items


class Written(NamedTuple):
    """Something that a worker, a thread or a child of it has written, whole."""

    sender: str
    what: str  # as ``telling`` names it, without parent: one letter for text
    parents: frozenset[str]  # one of which it has to be published with
    generation: int


class Worker:
    """One life of the worker: its pipes, and what it has written."""

    def __init__(self, generation):
        self.generation = generation
        self.requests = {None: []}  # by subshell; None is the main shell
        self.records = bytearray()
        self.captured = {1: bytearray(), 2: bytearray()}
        self.counts = {1: 0, 2: 0}
        self.parts = []
        self.running = {}  # by subshell: the msg_id of its request; by "aside": of what it took
        self.cell = "-"
        self.dead = False
        self.leaving = False
        self.heard = True  # what it writes is a stream of records, so far

    def __hash__(self):
        return self.generation

    def __eq__(self, other):
        return self.generation == other.generation

    def die(self):
        self.dead = True
        for part in self.parts:
            part.end()


class World:
    """Everything that there is, made anew for each schedule.

    ``cells`` says what the worker does for each request (by msg_id), ``clients`` what each client
    does; see ``_do`` and ``_client`` for the words. ``deaths`` is how often a worker may die, at
    any moment. With ``torn``, others may come in between the halves of a record. With ``cold``, the
    start of the first worker is part of what is tried. With ``swift``, everybody is quicker than
    the clock. With ``stillborn``, only workers that start die.
    """

    def __init__(
        self,
        cells,
        *clients,
        deaths=0,
        torn=False,
        shutdown=False,
        cold=False,
        swift=False,
        stillborn=False,
    ):
        self.transcript = Transcript()
        self.told = []  # all that IOPub has done, in words
        self.replies = []  # all that Shell has sent, in words
        self.written = []
        self.deaths = []  # (generation, msg_ids of the requests that ran)
        self.arrived = []  # messages, as Shell has received them
        self.aborts = []  # what had arrived whenever Shell was told to abort what waits
        self.now = 1.0
        self.torn = torn
        self.socket, self.to_iopub, self.to_shell, self.to_control = Box(), Box(), Box(), Box()
        self.worker = None
        self.awaiting = [one for one, lines in cells.items() if {"await", "expect"} & {*lines}]
        self.life, self._why = Lifecycle(), None  # Control's
        self._cells, self._swift, self._stillborn = cells, swift, stillborn
        self._attached, self._listening, self._decoder = None, False, None  # IOPub's
        self._queues, self._offered, self._numbers = {None: Queue()}, None, count(1)  # Shell's
        self.parts = []
        self._add("iopub", self._iopub())
        self._add("shell", self._shell())
        self._add("control", self._control())
        self._add("clock", self._clock())
        if not cold:
            self._warm_up()
        for steps in clients:
            self._add(f"client of {steps[0]}", self._client(steps))
        if deaths:
            self._add("fate", self._fate(deaths))
        if shutdown:
            self._add("operator", self._operator())

    def _warm_up(self):
        """Let the worker start, and everybody rest."""
        while ready := [part for part in self.parts if part.ready()]:
            ready[0].step()
        assert self.told == ["starting -", "hello 1"]

    def _add(self, name, life):
        self.parts.append(part := Part(name, life))
        return part

    def state(self):
        """Give a number for all that was and that can still make a difference."""
        return hash(_frozen(vars(self), self.now, {}))

    # Outside.

    def _client(self, steps):
        """Do one thing after another: send messages, or wait until something was told."""
        for step in steps:
            word, _, rest = step.partition(" ")
            if word == "see":
                yield lambda rest=rest: rest in self.told
            elif word == "get":
                yield lambda rest=rest: any(line.split()[1] == rest for line in self.replies)
            else:
                yield
                for words in step.split("; "):
                    self._say(*words.split(" "))

    def _say(self, msg_type, msg_id, comm_id=""):
        content = json.dumps({"comm_id": comm_id}).encode() if comm_id else b"{}"
        msg_type, _, subshell = msg_type.partition("@")
        if msg_type in ("comm_info_request", "comm_close"):
            self.told.append(f"({msg_type} {msg_id} {comm_id})")
        self.socket.put(message(msg_id, msg_type, content, subshell=subshell or None))

    def _clock(self):
        """Let time pass while text waits: at any moment, or (swift) when all the others rest."""
        while True:
            yield (
                lambda: (
                    self.transcript.streams.wait(self.now)
                    and not (
                        self._swift
                        and any(part.ready() for part in self.parts if part.name != "clock")
                    )
                )
            )
            self.now += 1.0

    def _fate(self, deaths):
        for _ in range(deaths):
            yield (
                lambda: (
                    self.worker is not None
                    and not self.worker.dead
                    and not (self._stillborn and f"hello {self.worker.generation}" in self.told)
                )
            )
            self._kill()

    def _kill(self):
        self.deaths.append((self.worker.generation, tuple(self.worker.running.values())))
        self.worker.die()

    def _operator(self):
        """Ask the kernel to end; whatever runs is ended some time later."""
        yield
        self.to_control.put(events.Signalled("SIGTERM"))
        yield lambda: self.life.stopping and self.worker is not None and not self.worker.dead
        self._kill()

    # The worker.

    def _spawn(self, generation):
        self.worker = worker = Worker(generation)
        self._start(worker, f"worker {generation}", self._work(worker))
        self.to_iopub.put(events.Attach(worker))

    def _start(self, worker, name, life):
        worker.parts.append(self._add(name, life))

    def _work(self, worker):
        yield
        yield from self._send(worker, Kind.HELLO, 0)
        yield from self._serve(worker, None)

    def _serve(self, worker, subshell):
        """Be the thread of a shell."""
        sender = subshell or "main"
        requests = worker.requests[subshell]
        while True:
            yield lambda: requests
            request = requests.pop(0)
            if request.aside:
                yield from self._send(worker, Kind.RETURNED, request.number)
            elif (yield from self._handle(worker, sender, request, subshell)):
                yield
                yield from self._send(worker, Kind.LEAVING, 0)
                worker.leaving = True
                yield
                worker.die()

    def _handle(self, worker, sender, request, place):
        """Handle one request, which is said to run in this place; tell whether to leave then."""
        msg_id, msg_type = request.message.msg_id, request.message.msg_type
        if msg_type == "execute_request" and place is None:  # its beginning has its code
            yield from self._send(worker, Kind.BEGIN_CELL, request.number, b"1", b"", b"{}")
        else:
            yield from self._send(worker, Kind.BEGIN, request.number, b"1", b"")
        if worker.heard:
            worker.running[place] = msg_id
        if msg_type == "execute_request" and (request.subshell is None or worker.cell == "-"):
            worker.cell = msg_id
        failed = leaves = False
        for words in self._cells.get(msg_id, ()):
            yield
            failed |= words == "fail"
            leaves |= words == "exit"
            yield from self._do(worker, sender, request, words)
        yield
        content = b'{"status":"error"}' if failed else OK
        name = reply_type(msg_type).encode()
        flag = b"1" if failed else b"0"
        yield from self._send(worker, Kind.DONE, request.number, b"1", flag, name, content, b"{}")
        if worker.heard:
            worker.running.pop(place, None)
        return leaves

    def _later(self, worker, sender, request, words):
        """Be a thread or a child that the request has left behind."""
        yield
        yield from self._do(worker, sender, request, words)

    def _do(self, worker, sender, request, words):
        """Do what one line of a cell says."""
        verb, _, what = words.partition(" ")
        number, msg_id = request.number, request.message.msg_id
        if verb in ("thread", "child"):
            self._start(worker, words, self._later(worker, words, request, what))
        elif verb == "write":  # a byte to descriptor 1, as C code and children do
            worker.captured[1] += what.encode()
            worker.counts[1] += len(what)
            owner = worker.running.get("aside") or worker.running.get(None, worker.cell)
            owners = {owner} if None in worker.running else {*worker.running.values()} or {owner}
            self.written.append(Written(sender, what, frozenset(owners), worker.generation))
        elif verb in ("print", "warn"):
            kind = Kind.STDOUT if verb == "print" else Kind.STDERR
            yield from self._send(worker, kind, number, what.encode())
            self._note_written(worker, sender, what, msg_id)
        elif verb == "show":
            yield from self._send(worker, Kind.PUBLISH, number, what.encode(), b"{}", b"{}")
            self._note_written(worker, sender, what, msg_id)
        elif verb in ("comm_open", "comm_msg", "comm_close"):
            content = json.dumps({"comm_id": what}).encode()
            yield from self._send(
                worker, Kind.COMM, number, what.encode(), b"t", verb.encode(), content, b"{}"
            )
            self._note_written(worker, sender, f"{verb} {what}", msg_id)
        elif verb in ("await", "expect"):  # take the comm messages that are there, or the next one
            requests = worker.requests[request.subshell]
            if verb == "expect":
                yield lambda: requests
            while requests and requests[0].aside:
                yield from self._handle(worker, sender, requests.pop(0), "aside")
        elif verb == "accept":
            yield from self._send(worker, Kind.COMM_ACCEPTED, 0, what.encode(), b"t")
        elif verb == "forget":
            yield from self._send(worker, Kind.COMM_FORGOTTEN, 0, what.encode())
        elif verb == "garbage":
            worker.records += b"this is no frame"
            worker.heard = False
        else:
            assert verb in ("fail", "exit"), verb

    def _note_written(self, worker, sender, what, msg_id):
        if worker.heard:
            self.written.append(Written(sender, what, frozenset({msg_id}), worker.generation))

    def _send(self, worker, kind, number, *parts):
        """Write a record: count what stands before it, then write it, perhaps not in one go."""
        marks = (worker.counts[1], worker.counts[2])
        frame = b"".join(records.encode(kind, number, parts, marks))
        if self.torn:
            yield
            worker.records += frame[:20]
            yield
            frame = frame[20:]
        worker.records += frame

    # The threads of the supervisor: what they do besides asking the pure objects.

    def _iopub(self):
        self._perform(self.transcript.starting())
        while True:
            yield lambda: self.to_iopub.items or self._due() or self._pipes_ready()
            yield from self._iopub_step()
            self._perform(self.transcript.due(self.now))

    def _iopub_step(self):
        worker, transcript = self._attached, self.transcript
        dead, found, payloads = worker is not None and worker.dead, False, []
        if worker is not None:
            for descriptor, pipe in worker.captured.items():
                if pipe:
                    found = True
                    self._capture(worker, descriptor, len(pipe))
                    yield
            payloads = self._read_records(worker)
            if payloads:
                yield
        for event in self.to_iopub.drain():
            self._perform(self._hear(event))
        try:
            for payload in payloads:
                record = records.decode(payload)
                for descriptor, size in enumerate(transcript.missing(record), 1):
                    self._capture(worker, descriptor, size)
                self._perform(transcript.record(record))
        except records.RecordError:
            self._distrust("it talked nonsense")
        if found:
            self._perform(transcript.settle())
        if dead and not found and not payloads:
            self._attached = None
            self.to_control.put(events.Drained(worker.generation))

    def _due(self):
        return self.transcript.streams.wait(self.now) == 0.0

    def _pipes_ready(self):
        worker = self._attached
        return worker is not None and (
            worker.dead or any(worker.captured.values()) or (self._listening and worker.records)
        )

    def _capture(self, worker, descriptor, size):
        pipe = worker.captured[descriptor]
        data = bytes(pipe[:size])
        assert len(data) == size, "a mark counts what was written"
        del pipe[:size]
        if data:
            self.transcript.captured(descriptor, data)

    def _read_records(self, worker):
        payloads = []
        if self._listening:
            data = bytes(worker.records)
            del worker.records[:]
            try:
                payloads += self._decoder.feed(data)
            except frames.FrameError:
                self._distrust("it scribbled")
        return payloads

    def _distrust(self, why):
        if self._listening:
            self._listening = False
            self.to_control.put(events.Misbehaved(self._attached.generation, why))

    def _hear(self, event):
        transcript = self.transcript
        match event:
            case events.Attach(worker):
                self._attached, self._listening = worker, True
                self._decoder = frames.Decoder()
                actions = transcript.attach(worker.generation)
            case events.Died(generation, facts):
                actions = transcript.died(generation, facts)
            case _:
                methods = {
                    events.Sent: transcript.sent,
                    events.Answer: transcript.answer,
                    events.Abort: transcript.abort,
                    events.Refuse: transcript.refuse,
                    events.CommInfo: transcript.comm_info,
                    events.CommClosed: transcript.comm_closed,
                }
                actions = methods[type(event)](event)
        return actions

    def _perform(self, actions):
        for action, words in zip(actions, tell(actions), strict=True):
            self.told.append(words)
            if isinstance(action, TellShell):
                self.to_shell.put(action.event)
            elif isinstance(action, TellControl):
                self.to_control.put(action.event)
            else:
                assert isinstance(action, Publish)

    def _shell(self):
        while True:
            yield lambda: self.to_shell.items or self.socket.items
            if self.to_shell.items:
                for event in self.to_shell.drain():
                    self._obey(event)
                yield
            self._receive()
            for queue in list(self._queues.values()):
                self._advance(queue)

    def _advance(self, queue):
        while (turn := queue.next()) is not None:
            match turn:
                case Turn.ABORT, request:
                    self.to_iopub.put(events.Abort(request))
                case Turn.REFUSE, request:
                    self.to_iopub.put(events.Refuse(request, queue.refusing))
                case Turn.SEND | Turn.OFFER, request:
                    self.to_iopub.put(events.Sent(request, self._offered.generation))
                    self._hand_over(self._offered, request)

    def _hand_over(self, worker, request):
        """Put a request on its pipe; a subshell has one from its first request on."""
        subshell = request.subshell
        if subshell not in worker.requests:
            worker.requests[subshell] = []
            if not worker.dead:
                self._start(worker, f"subshell {subshell}", self._serve(worker, subshell))
        worker.requests[subshell].append(request)

    def _obey(self, event):
        queues = self._queues
        match event:
            case events.Ready(worker):
                self._offered = worker
                for queue in queues.values():
                    queue.ready = True
            case events.Gone(generation):
                if self._offered is not None and self._offered.generation == generation:
                    self._offered = None
                    for queue in queues.values():
                        queue.ready = False
            case events.Unbegun(request):
                queues[request.subshell].put_back(request)
            case events.Reply():
                if event.abort:
                    self._receive()
                    subshell = event.request.subshell
                    self.aborts.append(
                        tuple(one for one in self.arrived if one.subshell == subshell)
                    )
                queues[event.request.subshell].over(event)
                self.replies += tell([TellShell(event)])
            case events.TakeStock(generation):
                self._receive()
                queued = sum(queue.executions() for queue in queues.values() if queue.current)
                self.to_control.put(events.Stock(generation, queued))
            case events.Stop(why) | events.Broken(why):
                for queue in queues.values():
                    queue.refusing = why
            case _:
                raise AssertionError(event)

    def _receive(self):
        for one in self.socket.drain():
            request = Request(next(self._numbers), one, "shell", subshell=one.subshell)
            self.arrived.append(one)
            if one.msg_type == "comm_info_request":
                self.to_iopub.put(events.CommInfo(request, None))
            elif one.msg_type in FOR_THE_WORKER:
                if one.msg_type == "comm_close":
                    comm_id = one.parsed_content()["comm_id"]
                    self.to_iopub.put(events.CommClosed(comm_id))
                self._queue_of(one.subshell).arrive(request)
            else:
                self.to_iopub.put(events.Answer(request, reply_type(one.msg_type), OK))

    def _queue_of(self, subshell):
        if subshell not in self._queues:
            like, queue = self._queues[None], Queue()
            queue.ready, queue.refusing = like.ready, like.refusing
            self._queues[subshell] = queue
        return self._queues[subshell]

    def _control(self):
        yield
        self._do_next(self.life.take(Event.START))
        while True:
            yield lambda: self.to_control.items
            for event in self.to_control.drain():
                self._decide(event)

    def _decide(self, event):
        life = self.life
        match event:
            case events.Hello(generation) if generation == life.generation:
                self._do_next(life.take(Event.HELLO))
            case events.Drained():
                self._do_next(life.take(Event.END))
            case events.Stock(generation, queued):
                facts = STOPPING if life.stopping else CRASH
                self.to_iopub.put(events.Died(generation, facts._replace(queued=queued)))
            case events.Buried(_, why):
                self._why = why
                self._do_next(life.take(Event.BURIED))
            case events.Signalled():
                self._do_next(life.take(Event.STOP))
            case events.Leaving():
                pass
            case events.Misbehaved():
                if not self.worker.dead and life.state is not State.DYING:
                    self._kill()
            case _:
                raise AssertionError(event)

    def _do_next(self, do):
        generation = self.life.generation
        match do:
            case Do.SPAWN:
                self._spawn(generation)
            case Do.OFFER:
                self.to_shell.put(events.Ready(self.worker))
            case Do.BURY:
                self.to_shell.put(events.TakeStock(generation))
            case Do.RESTART:
                self._do_next(self.life.take(Event.START))
            case Do.GIVE_UP:
                self.to_shell.put(events.Broken(gave_up(self._why)))
            case Do.END:
                self.to_shell.put(events.Stop(STOPPED))
                self.to_shell.put(events.Gone(generation))
            case Do.FINISH:
                self.to_shell.put(events.Stop(STOPPED))
            case _:
                assert do is Do.NOTHING


_ATOMS = {str, bytes, int, bool, type(None), frozenset, Kind, State, Written}
_EVENTS = {one for one in vars(events).values() if hasattr(one, "_fields")}
_STATELESS = {FunctionType, World, type}
_SEQUENCES = {list, tuple, deque}


def _frozen(value, now, known):
    """Give a hashable copy of a state; of moments only whether they are past, now or to come."""
    kind = type(value)
    if kind in _ATOMS or kind in _EVENTS:  # a tuple of one kind equals one of another
        return value if kind in _ATOMS else (kind.__name__, value)
    if kind in _SEQUENCES:
        return tuple([_frozen(one, now, known) for one in value])
    if kind is dict:
        return tuple([(key, _frozen(one, now, known)) for key, one in value.items()])
    if kind in _STATELESS or id(value) in known:
        return known.get(id(value))
    if (copy := _COPIES.get(kind)) is not None:
        return _frozen(copy(value, now), now, known)
    known[id(value)] = f"object {len(known)}"
    if (fields := getattr(value, "__dict__", None)) is None:
        fields = {name: getattr(value, name) for name in value.__slots__}
    return kind.__name__, tuple([_frozen(one, now, known) for one in fields.values()])


def _frame(generator, _):
    """Give what a generator holds: its line, its variables, and the generator it waits for."""
    frame = generator.gi_frame
    return frame and [frame.f_lineno, dict(frame.f_locals), generator.gi_yieldfrom]


_COPIES = {
    float: lambda value, now: str(value and max(round(value - now, 3), -1.0)),
    bytearray: lambda value, _: bytes(value),
    set: lambda value, _: frozenset(value),
    count: lambda value, _: repr(value),
    Part: lambda value, _: not value.over and value.life,
    GeneratorType: _frame,
    type(getincrementaldecoder("utf-8")()): lambda value, _: value.getstate(),
}
