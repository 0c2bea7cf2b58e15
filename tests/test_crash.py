"""Deaths of the interpreter (G18 to G25), real ones, in every place where one can happen."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from frontend import Gate, kernel, wait_gone

SETUP = """
import ctypes, faulthandler, mmap, os, signal, subprocess, sys, tempfile, threading
from comm import create_comm, get_comm_manager
def die_of(how):
    if how == "exit 0": os._exit(0)
    if how == "exit 3": os._exit(3)
    if how == "SIGSEGV": ctypes.string_at(0)
    if how == "SIGABRT": os.write(2, b"native words\\n"); os.abort()
    if how == "SIGBUS":
        with tempfile.TemporaryFile() as file:
            file.truncate(mmap.PAGESIZE)
            memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
            file.truncate(0)
            memory[0]
    os.kill(os.getpid(), getattr(signal, how))
"""

DEATHS = {
    "exit 0": "KernelExited",
    "exit 3": "KernelExited",
    "SIGKILL": "KernelKilled",
    "SIGSEGV": "KernelSegfault",
    "SIGABRT": "KernelAborted",
    "SIGBUS": "KernelBusError",
    "SIGFPE": "KernelArithmeticError",
    "SIGILL": "KernelIllegalInstruction",
    "SIGTERM": "KernelKilled",
    "SIGUSR1": "KernelKilled",
}
"""Kinds of death and the stable names under which they are told."""


@pytest.fixture(autouse=True)
def _setup(frontend):
    assert frontend.run(SETUP) == []


def dated(frontend, code, date=None):
    """Send a cell that says when it was made, as real clients do."""
    header = {"date": (date or datetime.now(UTC)).isoformat(), "session": "with a clock"}
    content = {"code": code, "silent": False, "allow_stdin": False}
    return frontend.send("shell", "execute_request", content, header=header)


class TestLastWords:
    @pytest.mark.parametrize("how", ["exit 3", "SIGKILL", "SIGSEGV"])
    def test_all_that_was_written_before_a_death_is_published(self, frontend, how):
        """G18: unflushed, flushed and on descriptors, in order, 30 of 30."""
        for i in range(30):
            code = f"""
os.write(1, b'A{i}\\n')
print('B{i}', end='')
os.write(1, b'C{i}\\n')
print('D{i}', flush=True)
print('E{i}', end='', file=sys.stderr)
os.write(2, b'F{i}\\n')
print('G{i}')
os.write({1 + i % 2}, b'H{i}\\n')
die_of({how!r})
"""
            text = [
                ("stdout", f"A{i}\nB{i}C{i}\nD{i}\n"),
                ("stderr", f"E{i}F{i}\n"),
                ("stdout", f"G{i}\n"),
                (("stdout", "stderr")[i % 2], f"H{i}\n"),
            ]
            parent = frontend.execute(code)
            frontend.recv_begin(parent)
            for name, words in text[:2] + ([] if i % 2 == 0 else text[2:]):
                frontend.recv_stream(name, words, parent)
            if i % 2 == 0:
                frontend.recv_stream("stdout", text[2][1] + text[3][1], parent)
            frontend.recv_crash(parent, DEATHS[how])
            assert frontend.run(SETUP) == []

    def test_megabytes_in_the_pipes_at_the_death_are_published(self, frontend):
        """G18: what fills the pipes when the worker dies is drained to the last byte."""
        code = """
for i in range(40): print('p' * 99_999)
display('d' * 500_000)
os.write(1, b'c' * 500_000)
os._exit(3)
"""
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", ("p" * 99_999 + "\n") * 40, parent)
        frontend.recv_display(parent, repr("d" * 500_000))
        frontend.recv_stream("stdout", "c" * 500_000, parent)
        frontend.recv_crash(parent)

    def test_the_stack_at_a_crash_is_told(self, frontend):
        """G18: where Python was when it crashed stands in the error, from faulthandler."""
        parent = frontend.execute("def culprit(): ctypes.string_at(0)\nculprit()")
        frontend.recv_begin(parent)
        error = frontend.recv_crash(parent, "KernelSegfault")
        assert "culprit" in "\n".join(error["traceback"])


class TestEveryDeath:
    @pytest.mark.parametrize("how", DEATHS)
    def test_a_crash_is_told_in_its_cell_once_and_in_order(self, frontend, how):
        """G19: error that says why, idle, reply with the same error; the next cell runs."""
        frontend.run("kept = 1")
        parent = frontend.execute(f"print('last words'); die_of({how!r})")
        frontend.recv_busy(parent)
        count = frontend.recv_input(parent)
        frontend.recv_stream("stdout", "last words\n", parent)
        if how == "SIGABRT":
            frontend.recv_stream("stderr", "native words\n", parent)
        error = frontend.recv_error(parent, DEATHS[how])
        frontend.recv_idle(parent)
        reply = frontend.recv_reply(parent, "error")
        assert {name: reply[name] for name in error} == error
        assert reply["execution_count"] == count
        assert frontend.run("'kept' in dir()") == [("result", "False")]

    def test_an_exit_code_is_told(self, frontend):
        """G19: it says why in words: os._exit(3) is not os._exit(0), and not SystemExit."""
        for code in (0, 3, 255):
            parent = frontend.execute(f"import os; os._exit({code})")
            frontend.recv_begin(parent)
            assert str(code) in frontend.recv_crash(parent)["evalue"]

    @pytest.mark.skipif(sys.version_info >= (3, 12), reason="later Pythons count C recursion")
    def test_a_stack_overflow_in_c(self, frontend):
        """G19: the handler of the dying has a stack of its own."""
        code = "x = []\nfor _ in range(10**6): x = [x]\nsys.setrecursionlimit(10**9); repr(x)"
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_crash(parent, "KernelSegfault")

    def test_a_crashing_thread(self, frontend):
        """G19: a crash in a thread is the end of the cell that runs."""
        code = "t = threading.Thread(target=die_of, args=('SIGSEGV',)); t.start(); t.join()"
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_crash(parent, "KernelSegfault")

    def test_a_crash_at_exit_of_the_user_s_own_making(self, frontend):
        """G19: exit() is no crash: the cell ends well, and a new interpreter takes over."""
        parent = frontend.execute("exit()")
        frontend.recv_begin(parent)
        frontend.recv_idle(parent)
        reply = frontend.recv_reply(parent)
        assert [payload["source"] for payload in reply["payload"]] == ["ask_exit"]


def die_busy(frontend, how, tmp_path):
    parent = frontend.execute(f"die_of({how!r})")
    frontend.recv_begin(parent)
    return parent, "execute_reply"


def die_in_input(frontend, how, tmp_path):
    gate = Gate(tmp_path)
    code = (
        f"threading.Thread(target=lambda: ({gate.wait}, os._exit(3))).start(); input(os.getpid())"
    )
    parent = frontend.execute(code, allow_stdin=True)
    frontend.recv_begin(parent)
    pid = int(frontend.recv("stdin", "input_request", parent).content["prompt"])
    if how.startswith("SIG"):
        os.kill(pid, getattr(signal, how))
    else:
        gate.open()
    return parent, "execute_reply"


def die_in_a_comm_handler(frontend, how, tmp_path):
    code = f"c = create_comm(target_name='t', comm_id='c'); c.on_msg(lambda _: die_of({how!r}))"
    assert frontend.run(code) == [("comm_open", {})]
    parent = frontend.send("shell", "comm_msg", {"comm_id": "c", "data": {}})
    frontend.recv_busy(parent)
    return parent, None


def die_awaiting(frontend, how, tmp_path):
    code = f"import asyncio; await asyncio.sleep(0); die_of({how!r})"
    parent = frontend.execute(code)
    frontend.recv_begin(parent)
    return parent, "execute_reply"


def die_in_a_task(frontend, how, tmp_path):
    code = f"""
import asyncio
async def die(): die_of({how!r})
task = asyncio.create_task(die()); await asyncio.sleep(1000)
"""
    parent = frontend.execute(code)
    frontend.recv_begin(parent)
    return parent, "execute_reply"


def die_with_children(frontend, how, tmp_path):
    code = f"""
children = [subprocess.Popen(['sleep', '1000']) for _ in range(3)]
if not os.fork(): signal.pause()
die_of({how!r})
"""
    parent = frontend.execute(code)
    frontend.recv_begin(parent)
    return parent, "execute_reply"


def die_in_a_finalizer(frontend, how, tmp_path):
    code = f"class D:\n def __del__(self): die_of({how!r})\nd = D(); del d"
    parent = frontend.execute(code)
    frontend.recv_begin(parent)
    return parent, "execute_reply"


def die_in_a_signal_handler(frontend, how, tmp_path):
    code = f"""
signal.signal(signal.SIGALRM, lambda *_: die_of({how!r}))
signal.setitimer(signal.ITIMER_REAL, 0.001)
while True: sys.stderr.write('')
"""
    parent = frontend.execute(code)
    frontend.recv_begin(parent)
    return parent, "execute_reply"


PLACES = [
    die_busy, die_in_input, die_in_a_comm_handler, die_awaiting, die_in_a_task, die_with_children,
    die_in_a_finalizer, die_in_a_signal_handler,
]  # fmt: skip


class TestEveryDeathInEveryPlace:
    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("how", DEATHS)
    def test_is_told_and_the_next_cell_runs(self, frontend, how, place, tmp_path):
        """G19, G21: error, idle, reply; what was queued is aborted; what comes after runs."""
        parent, reply = place(frontend, how, tmp_path)
        if how == "SIGABRT" and place is not die_in_input:
            frontend.recv_stream("stderr", "native words\n", parent)
        frontend.recv_crash(parent, DEATHS[how], msg_type=reply)
        if place is die_in_a_comm_handler:
            frontend.recv_closed_comms(["c"])
            frontend.arrived()
        assert frontend.run("print('alive')") == [("stdout", "alive\n")]


class TestPlaces:
    def test_idle(self, frontend):
        """G22: no cell error; the text of G19 on stderr by nobody's request; the next cell runs."""
        for how in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
            pid = frontend.worker_pid()
            os.kill(pid, how)
            frontend.recv_obituary("Kernel")
            assert frontend.worker_pid() != pid

    def test_a_request_sent_into_the_death_runs_on_the_next_worker(self, frontend):
        """G22, race 24: the dead worker may have been given it, but never began it."""
        for i in range(20):
            pid = frontend.worker_pid()
            os.kill(pid, signal.SIGKILL)
            parent = frontend.execute(f"print({i})")
            frontend.recv_obituary("KernelKilled")
            assert frontend.finish(parent) == [("stdout", f"{i}\n")]

    def test_busy_from_outside(self, frontend, tmp_path):
        """G19: a SIGKILL by somebody else, in the middle of a cell."""
        pid = frontend.worker_pid()
        parent = frontend.hold(Gate(tmp_path))
        os.kill(pid, signal.SIGKILL)
        frontend.recv_crash(parent, "KernelKilled")

    def test_in_input(self, frontend):
        """G19, G33: the prompt's late reply reaches nobody; the next prompt gets its own."""
        parent = frontend.execute(
            "pid = os.getpid(); input('first? ' + str(pid))", allow_stdin=True
        )
        frontend.recv_begin(parent)
        first = frontend.recv("stdin", "input_request", parent)
        os.kill(int(first.content["prompt"].split()[1]), signal.SIGKILL)
        frontend.recv_crash(parent, "KernelKilled")
        frontend.send_input("late", first)
        parent = frontend.execute("input('second? ')", allow_stdin=True)
        frontend.recv_begin(parent)
        second = frontend.recv("stdin", "input_request", parent)
        assert second.content["prompt"] == "second? "
        frontend.send_input("in time", second)
        frontend.recv_result(parent, "'in time'")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)

    def test_in_a_comm_handler(self, frontend):
        """G19, G17: a comm message has no reply; error, idle, and its comm is closed."""
        code = """
chat = create_comm(target_name='chat', comm_id='chat')
chat.on_msg(lambda _: die_of('SIGSEGV'))
"""
        assert frontend.run(code) == [("comm_open", {})]
        parent = frontend.send("shell", "comm_msg", {"comm_id": "chat", "data": {}})
        frontend.recv_busy(parent)
        frontend.recv_crash(parent, "KernelSegfault", msg_type=None)
        frontend.recv_closed_comms(["chat"])
        assert frontend.request("comm_info_request")["comms"] == {}

    @pytest.mark.parametrize(
        ("msg_type", "content"),
        [
            ("complete_request", {"code": "trap.", "cursor_pos": 5}),
            ("inspect_request", {"code": "trap", "cursor_pos": 4, "detail_level": 0}),
        ],
    )
    def test_in_another_request(self, frontend, msg_type, content):
        """G9, G19: whatever the request was, it gets its one reply."""
        code = """
class Trap:
    def __dir__(self): os._exit(3)
    def __repr__(self): os._exit(3)
trap = Trap()
"""
        assert frontend.run(code) == []
        parent = frontend.send("shell", msg_type, content)
        frontend.recv_busy(parent)
        reply_type = msg_type.replace("request", "reply")
        frontend.recv_crash(parent, msg_type=reply_type)

    def test_while_a_child_holds_the_pipes(self, frontend):
        """G19, race 5: an orphan in a session of its own delays nothing, and is spared (G32)."""
        code = """
if (pid := os.fork()) == 0:
    os.setsid(); signal.pause(); os._exit(0)
print(pid)
"""
        transcript = frontend.run(code)
        orphan = int(transcript[0][1])
        parent = frontend.execute("os._exit(3)")
        frontend.recv_begin(parent)
        frontend.recv_crash(parent)
        assert frontend.run("1") == [("result", "1")]
        os.kill(orphan, 0)
        os.kill(orphan, signal.SIGKILL)
        assert wait_gone(orphan, 5)

    def test_children_of_the_dead_in_its_group_go_with_it(self, frontend):
        """G19, race 9: what the dead worker left in its own group is ended with its generation."""
        code = "children = [subprocess.Popen(['sleep', '1000']) for _ in range(3)]\n"
        parent = frontend.execute(code + "print(*[c.pid for c in children]); os._exit(3)")
        frontend.recv_begin(parent)
        message = frontend.recv("iopub", "stream", parent)
        frontend.recv_crash(parent)
        for pid in map(int, message.content["text"].split()):
            assert wait_gone(pid, 5)

    def test_a_thread_s_crash_between_cells(self, frontend, tmp_path):
        """G22: a thread that a cell left behind crashes later: no cell's error."""
        gate = Gate(tmp_path)
        code = f"""
def later():
    {gate.wait}; die_of('SIGSEGV')
threading.Thread(target=later).start()
"""
        assert frontend.run(code) == []
        gate.open()
        frontend.recv_obituary("KernelSegfault")

    def test_words_of_a_task_that_crashes_between_cells(self, frontend):
        """G18, G22: what it printed keeps its cell; the obituary is nobody's."""
        code = """
import asyncio
async def later():
    await asyncio.sleep(0.01); print('last words'); os._exit(3)
task = asyncio.create_task(later())
"""
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)
        frontend.recv_stream("stdout", "last words\n", parent)
        frontend.recv_obituary("KernelExited")


class TestQueue:
    def test_queued_cells_are_aborted_and_others_are_answered_in_place(self, frontend, tmp_path):
        """G21, G9: each in its own pair, in order of arrival."""
        gate = Gate(tmp_path)
        parent = frontend.hold(gate, "os._exit(3)")
        first = frontend.execute("print('never')")
        other = frontend.send("shell", "is_complete_request", {"code": "1"})
        silent = frontend.execute("print('never')", silent=True)
        last = frontend.execute("print('never')", stop_on_error=False)
        frontend.arrived()
        gate.open()
        frontend.recv_crash(parent)
        frontend.recv_aborted(first)
        frontend.recv_busy(other)
        frontend.recv_idle(other)
        assert frontend.recv("shell", "is_complete_reply", other).content["status"] == "complete"
        frontend.recv_aborted(silent)
        frontend.recv_aborted(last)

    def test_what_is_sent_after_the_crash_reply_runs(self, frontend):
        """G21, race 23: a client that reacts at once is not aborted, 20 times of 20."""
        for i in range(20):
            parent = frontend.execute("import os; os._exit(3)")
            reply = frontend.recv("shell", "execute_reply", parent)
            assert reply.content["status"] == "error"
            after = frontend.execute(f"print({i})")
            frontend.recv_begin(parent)
            frontend.recv_error(parent, "KernelExited")
            frontend.recv_idle(parent)
            assert frontend.finish(after) == [("stdout", f"{i}\n")]

    def test_neither_is_one_of_a_client_that_has_a_clock(self, frontend):
        """G21: its dates say that it knew, 20 times of 20."""
        for i in range(20):
            parent = dated(frontend, "import os; os._exit(3)")
            frontend.recv("shell", "execute_reply", parent)
            after = dated(frontend, f"print({i})")
            frontend.recv_begin(parent)
            frontend.recv_error(parent, "KernelExited")
            frontend.recv_idle(parent)
            assert frontend.finish(after) == [("stdout", f"{i}\n")]

    @pytest.mark.parametrize(
        ("code", "ename"),
        [("import os; os._exit(3)", "KernelExited"), ("1 / 0", "ZeroDivisionError")],
    )
    def test_what_was_sent_before_the_reply_and_comes_after_it_is_aborted(
        self, frontend, code, ename
    ):
        """G11, G21: its date says that its client could not know; the next one runs."""
        made = datetime.now(UTC)
        parent = dated(frontend, code, made)
        frontend.recv_begin(parent)
        frontend.recv_error(parent, ename)
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")
        # The dates are a clock's next ticks: taken from the real one they are as far apart as the
        # machine's load has it, and a slow clock is believed less.
        late = [dated(frontend, "never", made + timedelta(microseconds=i)) for i in (1, 2, 3)]
        after = dated(frontend, "1")
        for each in late:
            frontend.recv_aborted(each)
        assert frontend.finish(after) == [("result", "1")]

    def test_what_is_sent_after_the_idle_of_a_crashed_comm_message_runs(self, frontend):
        """G21: a comm message has no reply; its idle is the end that a client can see."""
        for i in range(20):
            code = "c = create_comm(target_name='t', comm_id='c'); c.on_msg(lambda _: os._exit(3))"
            assert frontend.run(SETUP + code) == [("comm_open", {})]
            parent = frontend.send("shell", "comm_msg", {"comm_id": "c", "data": {}})
            frontend.recv_busy(parent)
            frontend.recv_crash(parent, msg_type=None)
            after = frontend.execute(f"print({i})")
            frontend.recv_closed_comms(["c"])
            assert frontend.finish(after) == [("stdout", f"{i}\n")]

    def test_kernel_info_is_answered_between_two_workers(self, frontend):
        """G12, G24: while the next worker starts, by the supervisor, with the same session."""
        parent = frontend.execute("import os; os._exit(3)")
        frontend.recv_begin(parent)
        frontend.recv_crash(parent)
        for channel in ("shell", "control"):
            frontend.request("kernel_info_request", channel=channel)
        frontend.beat()


class TestGenerations:
    def test_nothing_of_the_dead_comes_after_the_first_of_the_living(self, frontend):
        """G23: an orphan that writes without end into the dead worker's pipes is not heard."""
        code = """
if os.fork() == 0:
    os.setsid()
    try:
        while True: os.write(1, b'orphan\\n')
    finally:
        os._exit(0)
os.read(0, 1)
os._exit(3)
"""
        for _ in range(5):
            parent = frontend.execute("import os\n" + code)
            frontend.recv_begin(parent)
            words = ""
            while (message := frontend.recv("iopub")).type == "stream":
                assert message.parent_id == parent
                words += message.content["text"]
            assert set(words.split("\n")) <= {"orphan", "", *("orphan"[:i] for i in range(6))}
            assert (message.type, message.parent_id) == ("error", parent)
            frontend.recv_idle(parent)
            frontend.recv_reply(parent, "error")
            assert frontend.run("print('living')") == [("stdout", "living\n")]

    def test_comms_of_the_dead_are_closed_before_the_next_busy(self, frontend):
        """G17: each comm that was open, once; comm_info is then empty."""
        code = "comms = [create_comm(target_name='t', comm_id=f'c{i}') for i in range(5)]\n"
        assert frontend.run(code + "comms[1].close();") == [
            *[("comm_open", {})] * 5,
            ("comm_close", {}),
        ]
        parent = frontend.execute("os._exit(3)")
        queued = frontend.execute("never")
        frontend.recv_begin(parent)
        frontend.recv_crash(parent)
        frontend.recv_closed_comms(["c0", "c2", "c3", "c4"])
        frontend.recv_aborted(queued)
        assert frontend.request("comm_info_request")["comms"] == {}

    def test_a_message_for_a_dead_worker_s_comm_is_dropped(self, frontend):
        """G16, race 36: busy and idle come, and nothing else."""
        assert frontend.run("c = create_comm(target_name='t', comm_id='c')") == [("comm_open", {})]
        parent = frontend.execute("os._exit(3)")
        frontend.recv_begin(parent)
        frontend.recv_crash(parent)
        frontend.recv_closed_comms(["c"])
        frontend.request("comm_msg", {"comm_id": "c", "data": {}})


STARTUP = """
import os
word = {wait}
os.write(2, f'told to {{word}}\\n'.encode())
if word == 'die': os.kill(os.getpid(), 9)
"""


class Gated:
    """A kernel in which every worker waits in its start-up file for a word."""

    def __init__(self, tmp_path):
        self.folder = tmp_path / "kernel"
        startup = self.folder / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        self.gate = Gate(tmp_path)
        (startup / "gate.py").write_text(STARTUP.format(wait=self.gate.wait))

    def tell(self, frontend, word):
        """Tell the starting worker to live or to die; what it writes is by nobody's request."""
        self.gate.open(word)
        frontend.recv_stream("stderr", f"told to {word}\n", None)


@pytest.fixture
def gated(tmp_path):
    return Gated(tmp_path)


class TestStarting:
    def test_kernel_info_is_answered_while_a_worker_starts(self, gated):
        """G12: by the supervisor, on both channels; what needs the worker waits for it."""
        with kernel(gated.folder) as frontend:
            parent = frontend.execute("1")
            for channel in ("shell", "control"):
                frontend.request("kernel_info_request", channel=channel)
            assert frontend.request("comm_info_request")["comms"] == {}
            gated.tell(frontend, "live")
            assert frontend.finish(parent) == [("result", "1")]

    def test_the_next_worker_serves_after_a_death_while_starting(self, gated):
        """G22: requests that waited for the dead worker are run by the next.

        What the dead worker wrote is published; its end is told in the log, not to the client.
        """
        with kernel(gated.folder) as frontend:
            parent = frontend.execute("1")
            gated.tell(frontend, "die")
            gated.tell(frontend, "live")
            assert frontend.finish(parent) == [("result", "1")]
            assert "SIGKILL" in frontend.kernel.log.read_text()

    def test_three_deaths_before_hello_are_enough(self, gated):
        """G25: no fourth start; requests get an error that says why; a restart tries again."""
        with kernel(gated.folder) as frontend:
            frontend.logs_errors = True
            parent = frontend.execute("1")
            for _ in range(3):
                gated.tell(frontend, "die")
            frontend.recv_busy(parent)
            error = frontend.recv_crash(parent, "KernelKilled")
            assert "start" in "\n".join(error["traceback"])
            later = frontend.execute("2")
            frontend.recv_busy(later)
            frontend.recv_crash(later, "KernelKilled")
            other = frontend.send("shell", "is_complete_request", {"code": "1"})
            frontend.recv_busy(other)
            frontend.recv_crash(other, "KernelKilled", msg_type="is_complete_reply")
            message = frontend.send("shell", "comm_msg", {"comm_id": "c", "data": {}})
            frontend.recv_busy(message)
            frontend.recv_crash(message, "KernelKilled", msg_type=None)
            for channel in ("shell", "control"):
                frontend.request("kernel_info_request", channel=channel)
            assert len(frontend.kernel.processes()) == 2
            frontend.shutdown(restart=True)
            assert frontend.kernel.wait() == 0
            frontend.kernel.start()
            frontend.kernel_session = None
            frontend.recv_welcome()
            gated.tell(frontend, "live")
            assert frontend.run("3") == [("result", "3")]

    def test_a_kernel_without_a_worker_can_be_shut_down(self, gated):
        """G31: shutdown is answered in every state, also after three deaths before hello."""
        with kernel(gated.folder) as frontend:
            frontend.logs_errors = True
            parent = frontend.execute("1")
            for _ in range(3):
                gated.tell(frontend, "die")
            frontend.recv_busy(parent)
            frontend.recv_crash(parent, "KernelKilled")
            frontend.shutdown()
            frontend.end()


def used(processes):
    """Count what each process has open, and its threads."""
    return [(process.num_fds(), process.num_threads()) for process in processes]


def test_sixty_crashes_leave_nothing_behind(fresh):
    """G18 to G24, issue 3: no process, descriptor, thread or megabyte is leaked by a crash."""
    supervisor = psutil.Process(fresh.kernel.pid)

    def crash():
        parent = fresh.execute("import os; print('x'); os._exit(3)")
        fresh.recv_begin(parent)
        fresh.recv_stream("stdout", "x\n", parent)
        fresh.recv_crash(parent)

    for _ in range(10):
        crash()
    assert fresh.run("1") == [("result", "1")]
    zygote = supervisor.children()[0]
    both = supervisor, zygote
    before = used(both)
    memory = [p.memory_info().rss for p in both]
    for _ in range(60):
        crash()
    assert fresh.run("1") == [("result", "1")]
    # What the last one left is closed by several threads and processes, in no order.
    assert any(used(both) == before for _ in range(50) if fresh.run("1"))
    for process, size in zip(both, memory, strict=True):
        assert process.memory_info().rss < size + 3_000_000
    assert len(fresh.kernel.processes()) == 3
    assert Path(f"/proc/{zygote.pid}").exists()


class TestExitOnCrash:
    @pytest.mark.parametrize(
        ("how", "code"),
        [("SIGKILL", 137), ("SIGSEGV", 139), ("SIGABRT", 134), ("exit 3", 3)],
    )
    def test_the_exit_code_says_how(self, tmp_path, how, code):
        """G19: for operators who retry on exit codes; the cell has its answer before the end."""
        with kernel(tmp_path / "kernel", options=("--on-crash=exit",)) as frontend:
            assert frontend.run(SETUP) == []
            parent = frontend.execute(f"die_of({how!r})")
            frontend.recv_begin(parent)
            if how == "SIGABRT":
                frontend.recv_stream("stderr", "native words\n", parent)
            frontend.recv_crash(parent, DEATHS[how])
            frontend.end(exit_code=code)

    def test_success_is_never_said(self, tmp_path):
        """os._exit(0) is a crash, too."""
        with kernel(tmp_path / "kernel", options=("--on-crash=exit",)) as frontend:
            parent = frontend.execute("import os; os._exit(0)")
            frontend.recv_begin(parent)
            frontend.recv_crash(parent)
            code = frontend.kernel.wait()
            assert code != 0
            frontend.end(exit_code=code)
