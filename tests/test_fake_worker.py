"""The supervisor against a worker that follows a script (G18, G20, G23, G25, G26, G12)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from bulkhead_kernel.shared import records
from bulkhead_kernel.shared.records import Kind
from frontend import Frontend, Gate, kernel, wait_gone

COMMAND = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


@pytest.fixture(scope="module")
def fake_kernel(tmp_path_factory):
    """One supervisor for the module; its workers come and go."""
    frontends = []

    def get():
        if not frontends:
            frontends.append(Frontend(tmp_path_factory.mktemp("fake"), command=COMMAND))
            frontends[0].logs_errors = True  # a worker's misbehaviour is logged as one
        return frontends[0]

    yield get, frontends.clear
    for frontend in frontends:
        frontend.finish_or_give_up()


@pytest.fixture
def fake(fake_kernel, request):
    """The strict client of a supervisor whose workers follow scripts."""
    get, clear = fake_kernel
    frontend = get()
    yield frontend
    if getattr(request.node, "failed_call", True):
        clear()
        frontend.give_up()
    else:
        frontend.settle()


def play(frontend, script, output=()):
    """Have a worker follow a script that begins and ends its request; check what it says."""
    parent = frontend.execute(script)
    frontend.recv_busy(parent)
    for name, text in output:
        frontend.recv_stream(name, text, parent)
    frontend.recv_idle(parent)
    frontend.recv_reply(parent)


def crash(frontend, script, output=(), ename="KernelKilled"):
    """Have a worker follow a script that begins its request and is its end."""
    parent = frontend.execute(script)
    frontend.recv_busy(parent)
    for name, text in output:
        frontend.recv_stream(name, text, parent)
    frontend.recv_crash(parent, ename)


TORN = {
    "text": ("bytes_of(Kind.STDOUT, 'torn')", [("stdout", "torn")]),
    "done": ("done_bytes()", None),
    "a display": (
        "bytes_of(Kind.PUBLISH, 'display_data', '{\"data\": {}, \"metadata\": {}}', '{}', b'x')",
        "display_data",
    ),
}


class TestTornRecords:
    @pytest.mark.parametrize("kind", TORN)
    def test_a_death_after_every_byte_of_a_record(self, fake, kind, tmp_path):
        """G20: for every k: what came before is published, the torn record leaves no trace."""
        record, whole = TORN[kind]
        file = tmp_path / "size"
        play(fake, f"begin(); open({str(file)!r}, 'w').write(str(len({record}))); done()")
        size = int(file.read_text())
        for k in range(size):
            crash(fake, f"begin(); text('before'); torn({record}, {k})", [("stdout", "before")])
        # The last byte makes it a record.
        parent = fake.execute(f"begin(); torn({record}, {size})")
        fake.recv_busy(parent)
        if whole is None:
            fake.recv_idle(parent)
            fake.recv_reply(parent)
            fake.recv_obituary("KernelKilled")
            return
        if kind == "text":
            fake.recv_stream("stdout", "torn", parent)
        else:
            assert fake.recv("iopub", whole, parent).buffers == [b"x"]
        fake.recv_crash(parent, "KernelKilled")

    def test_a_death_after_every_byte_of_begin(self, fake, tmp_path):
        """G20, race 24: a request that was not begun is run by the next worker, once."""
        for k in range(sum(map(len, records.encode(Kind.BEGIN, 1, [b"1", b""])))):
            fuse = tmp_path / f"fuse-{k}"
            fuse.touch()
            script = f"""
if os.path.exists({str(fuse)!r}):
    os.unlink({str(fuse)!r}); torn(bytes_of(Kind.BEGIN, 1, b''), {k})
begin(); text('second'); done()
"""
            parent = fake.execute(script)
            fake.recv_obituary("KernelKilled")
            fake.recv_busy(parent)
            fake.recv_stream("stdout", "second", parent)
            fake.recv_idle(parent)
            fake.recv_reply(parent)

    def test_records_written_byte_by_byte(self, fake):
        """G20's other side: how the stream is cut plays no role."""
        script = """
begin()
for byte in bytes_of(Kind.STDOUT, 'one ') + bytes_of(Kind.STDOUT, 'two') + done_bytes():
    write(bytes([byte]))
"""
        play(fake, script, [("stdout", "one two")])

    def test_a_thousand_records_in_one_write(self, fake):
        """G1: they are taken in order."""
        script = """
begin(); write(b''.join(bytes_of(Kind.STDOUT, f'{i} ') for i in range(1000)) + done_bytes())
"""
        play(fake, script, [("stdout", "".join(f"{i} " for i in range(1000)))])


GARBAGE = {
    "noise": "os.urandom(100_000)",
    "zeros": "bytes(100_000)",
    "text": "b'Traceback (most recent call last):\\n' * 100",
    "a pickle": "__import__('pickle').dumps(print)",
    "an empty frame": "b''.join(frames.encode([]))",
    "a frame without end": "frames._HEAD.pack(frames.MAGIC, 1 << 40)",
    "a begin again": "bytes_of(Kind.BEGIN, 1, b'')",
    "a begin of another": "bytes_of(Kind.BEGIN, 1, b'', number=999)",
    "a done of another": "bytes_of(Kind.DONE, 1, 0, 'execute_reply', '{}', '{}', number=999)",
    "a done with another reply": "bytes_of(Kind.DONE, 1, 0, 'complete_reply', '{}', '{}')",
    "a status": "bytes_of(Kind.PUBLISH, 'status', '{}', '{}')",
    "a welcome": "bytes_of(Kind.PUBLISH, 'iopub_welcome', '{}', '{}')",
    "a comm past the table": "bytes_of(Kind.PUBLISH, 'comm_open', '{}', '{}')",
    "an injection": "bytes_of(Kind.PUBLISH, 'x\\\",\\\"y', '{}', '{}')",
    "an order": "bytes_of(Kind.REQUEST, 'x', '{}', '{}', '{}')",
    "an input of another": "bytes_of(Kind.INPUT, '{}', '1', number=999)",
}
"""What a worker can write that ends it."""


class TestGarbage:
    @pytest.mark.parametrize("what", GARBAGE)
    def test_costs_that_worker(self, fake, what):
        """G26: any bytes; the text before them is published, the next worker serves."""
        script = f"begin(); text('before'); write({GARBAGE[what]}); signal.pause()"
        crash(fake, script, [("stdout", "before")], "KernelMisbehaved")
        play(fake, "begin(); text('next'); done()", [("stdout", "next")])

    @pytest.mark.parametrize("content", ["b'no json'", "b'\\xff'", "b'[]'", "b''"])
    def test_content_is_passed_on_and_never_read(self, fake, content):
        """G26: the supervisor signs content that is no JSON, too; nothing of it is evaluated."""
        script = f"begin(); send(Kind.PUBLISH, 'display_data', {content}, b'{{}}'); done()"
        parent = fake.execute(script)
        fake.recv_busy(parent)
        frames = fake.sockets["iopub"].recv_multipart()
        at = frames.index(b"<IDS|MSG>")
        assert frames[at + 1] == fake.sign(frames[at + 2 : at + 6])
        assert frames[at + 5] == eval(content)
        fake.recv_idle(parent)
        fake.recv_reply(parent)

    def test_garbage_while_idle(self, fake):
        """G26, G22: between requests it is told as a death between requests."""
        script = """
begin(); done()
write(b'garbage' * 100)
signal.pause()
"""
        play(fake, script)
        fake.recv_obituary("KernelMisbehaved")
        play(fake, "begin(); done()")


class TestEnds:
    def test_a_pipe_closed_by_a_living_worker(self, fake):
        """Race 6: EOF without death is an end: the worker is ended, and told."""
        script = "begin(); text('before'); os.close(descriptors.records); signal.pause()"
        crash(fake, script, [("stdout", "before")], "KernelMisbehaved")

    def test_all_pipes_closed_by_a_living_worker(self, fake):
        """Race 6: also if every one of them is closed."""
        script = """
begin(); text('before')
for fd in (1, 2, *descriptors): os.close(fd)
signal.pause()
"""
        crash(fake, script, [("stdout", "before")], "KernelMisbehaved")

    def test_captured_pipes_may_be_closed(self, fake):
        """Closing descriptors 1 and 2 harms nobody, and costs no CPU."""
        script = """
begin()
for fd in (1, 2, descriptors.stdout, descriptors.stderr): os.close(fd)
text('still here'); done()
"""
        play(fake, script, [("stdout", "still here")])
        play(fake, "begin(); text('and here'); done()", [("stdout", "and here")])
        crash(fake, "begin(); die()")

    @pytest.mark.parametrize("size", [0, 1, 5_000_000])
    def test_an_orphan_that_holds_the_pipes(self, fake, size):
        """Race 5: death is learnt from the process; all that was written is there, then the end."""
        script = f"""
begin()
pid = orphan()
text(f'{{pid}} ')
os.write(1, b'c' * 60_000)
text('x' * {size})
die()
"""
        parent = fake.execute(script)
        fake.recv_busy(parent)
        text = ""
        while (message := fake.recv("iopub")).type == "stream":
            text += message.content["text"]
        pid, rest = text.split(" ")
        assert sorted(rest) == sorted("c" * 60_000 + "x" * size)
        assert message.entry == ("error", "KernelKilled")
        fake.recv_idle(parent)
        fake.recv_reply(parent, "error")
        play(fake, "begin(); done()")
        os.kill(int(pid), signal.SIGKILL)
        assert wait_gone(int(pid), 5)

    @pytest.mark.parametrize(
        "loop",
        [
            "os.write(1, b'orphan ' * 1000)",
            "write(bytes_of(Kind.STDOUT, 'orphan'))",
            "write(b'garbage')",
        ],
    )
    def test_an_orphan_that_goes_on_writing(self, fake, loop):
        """G23, race 8: nothing of it comes after the first of the next worker; it ends, too."""
        script = f"""
begin()
pid = orphan('''
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
while True:
    {loop}
''')
text(f'{{pid}} '); die()
"""
        parent = fake.execute(script)
        fake.recv_busy(parent)
        text = ""
        while (message := fake.recv("iopub")).type == "stream":
            assert message.parent_id == parent
            text += message.content["text"]
        assert message.type == "error"
        fake.recv_idle(parent)
        fake.recv_reply(parent, "error")
        for _ in range(10):
            play(fake, "begin(); text('next'); done()", [("stdout", "next")])
        (pid,) = [word for word in text.split() if word.isdigit()] or [0]
        assert not int(pid) or wait_gone(int(pid), 5)

    def test_a_flood_before_death(self, fake):
        """G18: 20 MB of records and 5 MB on each descriptor, then SIGKILL: all of it is there."""
        script = """
begin()
for i in range(200):
    text('r' * 100_000)
    os.write(1, b'o' * 25_000)
    os.write(2, b'e' * 25_000)
die()
"""
        parent = fake.execute(script)
        fake.recv_busy(parent)
        counts = dict.fromkeys("roe", 0)
        while (message := fake.recv("iopub")).type == "stream":
            for letter in counts:
                counts[letter] += message.content["text"].count(letter)
        assert counts == {"r": 20_000_000, "o": 5_000_000, "e": 5_000_000}
        assert message.entry == ("error", "KernelKilled")
        fake.recv_idle(parent)
        fake.recv_reply(parent, "error")


class TestDeafness:
    def test_a_worker_that_stops_reading_holds_up_nobody(self, fake, tmp_path):
        """G12, races 24 to 26: 50 MB are on their way to it; all that needs it not is answered."""
        gate = Gate(tmp_path)
        parent = fake.execute(f"begin(); text('deaf'); {gate.wait}; done()")
        fake.recv_busy(parent)
        fake.recv_stream("stdout", "deaf", parent)
        content = {"code": "begin(); text('heard'); done()", "junk": "x" * 50_000_000}
        big = fake.send("shell", "execute_request", content)
        for _ in range(10):
            fake.request("kernel_info_request")
            fake.request("kernel_info_request", channel="control")
            fake.request("comm_info_request")
            fake.beat()
        gate.open()
        fake.recv_idle(parent)
        fake.recv_reply(parent)
        fake.recv_busy(big)
        fake.recv_stream("stdout", "heard", big)
        fake.recv_idle(big)
        fake.recv_reply(big)

    def test_a_death_amid_a_request_that_is_being_written(self, fake, tmp_path):
        """Race 24: the worker dies with 50 MB half read; the next one gets all of them."""
        gate = Gate(tmp_path)
        fuse = tmp_path / "fuse"
        fuse.touch()
        # A worker that, after its request, reads a part of the next one and dies.
        play(
            fake,
            f"""
begin(); done()
if os.path.exists({str(fuse)!r}):
    os.unlink({str(fuse)!r})
    {gate.wait}
    for _ in range(100): os.read(descriptors.requests, 100_000)
    die()
""",
        )
        content = {"code": "begin(); text('whole'); done()", "junk": "x" * 50_000_000}
        big = fake.send("shell", "execute_request", content)
        fake.arrived()
        gate.open()
        fake.recv_obituary("KernelKilled")
        fake.recv_busy(big)
        fake.recv_stream("stdout", "whole", big)
        fake.recv_idle(big)
        fake.recv_reply(big)

    def test_a_worker_that_ends_between_requests(self, fake):
        """G22: exit code 0 without being asked, between requests: the next one serves."""
        parent = fake.execute("begin(); done(); os._exit(0)")
        fake.recv_busy(parent)
        fake.recv_idle(parent)
        fake.recv_reply(parent)
        fake.recv_obituary("KernelExited")
        play(fake, "begin(); done()")


class TestStart:
    def test_a_worker_that_never_says_hello_can_be_interrupted_and_shut_down(self, tmp_path):
        """Races 40 and 42: requests wait; control is answered; shutdown ends it."""
        env = {"FAKE_START": "signal.pause()"}
        with kernel(tmp_path / "k", command=COMMAND, env=env) as fake:
            parent = fake.execute("never")
            fake.request("kernel_info_request")
            fake.request("kernel_info_request", channel="control")
            fake.request("comm_info_request")
            request = fake.send("control", "shutdown_request", {})
            fake.recv_busy(parent)
            fake.recv_error(parent, "KernelStopped")
            fake.recv_idle(parent)
            fake.recv_reply(parent, "error")
            fake.recv_shutdown(request)
            fake.end()

    @pytest.mark.parametrize(
        ("start", "ename"),
        [
            ("die()", "KernelKilled"),
            ("os._exit(3)", "KernelExited"),
            ("os.write(2, b'no module named x\\n'); os._exit(1)", "KernelExited"),
            ("write(b'garbage' * 10)\nsignal.pause()", "KernelMisbehaved"),
            ("os.close(descriptors.records)\nsignal.pause()", "KernelMisbehaved"),
            ("begin()\nsignal.pause()", "KernelMisbehaved"),
        ],
    )
    def test_three_deaths_before_hello_are_enough(self, tmp_path, start, ename):
        """G25: whatever kind of death; requests are refused with the reason, and kept words."""
        births = tmp_path / "births"
        count = f"open({str(births)!r}, 'a').write('x');"
        env = {"FAKE_START": f"{count} {start}"}
        with kernel(tmp_path / "k", command=COMMAND, env=env) as fake:
            fake.logs_errors = True
            parent = fake.execute("never")
            message = fake.recv("iopub")
            said = ""
            while message.type == "stream":
                assert message.parent == {}
                said += message.content["text"]
                message = fake.recv("iopub")
            assert message.entry == ("status", "busy")
            assert message.parent_id == parent
            fake.recv_crash(parent, ename)
            assert births.read_text() == "xxx"
            for _ in range(3):
                parent = fake.execute("never")
                fake.recv_busy(parent)
                fake.recv_crash(parent, ename)
            assert births.read_text() == "xxx"

    def test_two_deaths_before_hello_are_not(self, tmp_path):
        """G25: the third worker serves, and the count begins anew with its hello."""
        births = tmp_path / "births"
        births.touch()
        start = f"""
with open({str(births)!r}, 'a') as file:
    file.write('x')
if os.path.getsize({str(births)!r}) % 3: die()
"""
        with kernel(tmp_path / "k", command=COMMAND, env={"FAKE_START": start}) as fake:
            for i in range(1, 4):
                play(fake, "begin(); text('served'); done()", [("stdout", "served")])
                assert births.read_text() == "xxx" * i
                if i < 3:
                    crash(fake, "begin(); die()")
