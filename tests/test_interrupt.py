"""Interrupts (G27 to G30): they act on what runs when they are received, or on nothing."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import time

import pytest
from frontend import Gate, merged

ANSI = re.compile(r"\x1b\[[0-9;]*m")

SETUP = """
import asyncio, ctypes, os, re, signal, subprocess, sys, threading, time
from comm import create_comm
"""


@pytest.fixture(autouse=True)
def _setup(frontend):
    assert frontend.run(SETUP) == []


def recv_pair(frontend, request, msg_type="interrupt_reply"):
    """Receive the pair and the reply of a control request."""
    frontend.recv_busy(request)
    frontend.recv_idle(request)
    frontend.recv_reply(request, msg_type=msg_type, channel="control")


def interrupt(frontend):
    """Interrupt, and receive the pair and the reply of that."""
    recv_pair(frontend, frontend.interrupt())


def recv_both(frontend, parent, request):
    """Receive the rest of a request that runs, and the pair of a control request, in any order.

    Gives the entries of the former, without its idle.
    """
    own, pair = [], []
    while ("status", "idle") not in own or ("status", "idle") not in pair:
        message = frontend.recv("iopub")
        assert message.parent_id in (parent, request), message
        assert ("status", "idle") not in own or message.parent_id == request
        (own if message.parent_id == parent else pair).append(message.entry)
    assert pair == [("status", "busy"), ("status", "idle")]
    return merged(own[:-1])


def hit(frontend, parent):
    """Interrupt a cell that runs; it ends as error KeyboardInterrupt. Give its text before that."""
    request = frontend.interrupt()
    *texts, error = recv_both(frontend, parent, request)
    assert error == ("error", "KeyboardInterrupt")
    reply = frontend.recv_reply(parent, "error")
    assert reply["ename"] == "KeyboardInterrupt"
    frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
    return texts


ENDLESS = {
    "a loop": "while True: pass",
    "a sleep": "time.sleep(1000)",
    "an await": "await asyncio.sleep(1000)",
    "an await of a future": "await asyncio.get_running_loop().create_future()",
    "a loop of awaits": "while True: await asyncio.sleep(0)",
    "a print loop": "while True: print('x' * 100)",
    "a loop of writes": "while True: os.write(1, b'x' * 100)",
    "a display loop": "while True: sys.stderr.write('x')",
    "a child": "subprocess.run(['sleep', '1000'])",
    "a regex": "re.match('(a+)+b', 'a' * 200)",
    "a lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "a thread": "t = threading.Event(); t.wait()",
    "a read": "r, w = os.pipe(); os.read(r, 1)",
    "gathered tasks": "await asyncio.gather(*[asyncio.sleep(1000) for _ in range(3)])",
    "a context": "with open('/dev/null'):\n try:\n  time.sleep(1000)\n finally:\n  print('end')",
}


class TestCells:
    @pytest.mark.parametrize("case", ENDLESS)
    def test_an_endless_cell_ends_as_keyboard_interrupt(self, frontend, case):
        """G29: whatever it is doing; the next cell runs in the same interpreter."""
        pid = frontend.worker_pid()
        parent = frontend.execute(f"print('held')\n{ENDLESS[case]}")
        frontend.recv_begin(parent)
        message = frontend.recv("iopub", "stream", parent)
        assert message.content["text"].startswith("held")  # its newline may come by itself
        hit(frontend, parent)
        assert frontend.worker_pid() == pid

    @pytest.mark.parametrize("code", ["!{}", "%%bash\n{}", "os.system({!r})"])
    def test_a_shell_command_is_ended(self, frontend, code, tmp_path):
        """G29: the child gets the interrupt; what becomes of the cell is IPython's and libc's rule.

        system() ignores SIGINT while it waits, %%bash raises CalledProcessError, ! prints ^C.
        """
        # Not `echo held; sleep 1000`: between the two, a shell swallows the signal, and goes on to
        # wait for what it starts.
        script = tmp_path / "hold.py"
        script.write_text(
            "import signal, time\n"
            "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
            "print('held', flush=True)\n"
            "time.sleep(1000)\n"
        )
        code = code.format(f"{sys.executable} {script}")
        pid = frontend.worker_pid()
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        assert frontend.recv("iopub", "stream", parent).content["text"].strip() == "held"
        request = frontend.interrupt()
        seen = recv_both(frontend, parent, request)
        assert "Kernel" not in str(seen), seen
        frontend.recv("shell", "execute_reply", parent)
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
        assert frontend.worker_pid() == pid

    def test_the_words_of_an_interrupted_cell_are_not_lost(self, frontend):
        """G28, G29: what it printed before, and in its own clean-up, is there and in order."""
        code = """
try:
    print('a')
    time.sleep(1000)
finally:
    print('b'); os.write(1, b'c')
"""
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "a\n", parent)
        assert hit(frontend, parent) == [("stdout", "b\nc")]

    def test_queued_cells_are_aborted(self, frontend):
        """G29, G11: an interrupt is an error; what is queued behind it is not run."""
        parent = frontend.execute("print('held'); time.sleep(1000)")
        queued = [frontend.execute("never") for _ in range(3)]
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        frontend.arrived()
        request = frontend.interrupt()
        others = frontend.recv_until_idle(parent, others=True)
        assert [m.entry for m in others if m.parent_id == parent] == [
            ("error", "KeyboardInterrupt")
        ]
        frontend.recv_reply(parent, "error")
        rest = [m for m in others if m.parent_id != parent]
        while len(rest) < 2 * len(queued) + 2:
            rest.append(frontend.recv("iopub"))
        pairs = [(m.parent_id, m.entry[1]) for m in rest]
        assert [pair for pair in pairs if pair[0] == request] == [
            (request, "busy"),
            (request, "idle"),
        ]
        assert [pair for pair in pairs if pair[0] != request] == [
            (cell, state) for cell in queued for state in ("busy", "idle")
        ]
        for cell in queued:
            frontend.recv_reply(cell, "aborted")
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")

    def test_children_in_the_group_get_it_too(self, frontend):
        """G29: a child is ended by the same interrupt; one in its own session is not."""
        code = """
child = subprocess.Popen(['sleep', '1000'])
other = subprocess.Popen(['sleep', '1000'], start_new_session=True)
print('held'); child.wait()
"""
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        hit(frontend, parent)
        # Popen.wait() may lose the status to the interrupt, and then says 0.
        assert frontend.run("child.wait() in (-2, 0), other.poll()") == [("result", "(True, None)")]
        assert frontend.run("other.kill(); other.wait()") == [("result", "-9")]

    def test_a_cell_may_deal_with_it(self, frontend):
        """G28: a cell that catches KeyboardInterrupt goes on and ends well."""
        code = "try:\n print('held'); time.sleep(1000)\nexcept KeyboardInterrupt: print('caught')"
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        request = frontend.interrupt()
        assert recv_both(frontend, parent, request) == [("stdout", "caught\n")]
        frontend.recv_reply(parent)
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")

    def test_a_cell_s_own_handler_is_its_own_while_it_runs(self, frontend):
        """G28: signal.signal in a cell works there, and the next cell can be interrupted again."""
        code = """
asked = threading.Event()
signal.signal(signal.SIGINT, lambda *_: asked.set())
print('held')
while not asked.is_set(): time.sleep(0.01)
print('asked')
"""
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        request = frontend.interrupt()
        assert recv_both(frontend, parent, request) == [("stdout", "asked\n")]
        frontend.recv_reply(parent)
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
        parent = frontend.execute("print('held'); time.sleep(1000)")
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        hit(frontend, parent)

    def test_a_signal_by_somebody_else_interrupts_what_runs(self, frontend):
        """G29: kill -INT of the worker, as a script or a client that knows the pid does it."""
        pid = frontend.worker_pid()
        parent = frontend.execute("print('held'); time.sleep(1000)")
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        os.kill(pid, signal.SIGINT)
        frontend.recv_error(parent, "KeyboardInterrupt")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")

    def test_the_supervisor_s_group_may_be_signalled(self, frontend):
        """G28, race 20: SIGINT to the supervisor's group, as some clients send, costs nothing."""
        os.killpg(frontend.kernel.pid, signal.SIGINT)
        assert frontend.run("1") == [("result", "1")]

    def test_an_error_that_is_interrupted_while_it_is_shown_is_told(self, frontend):
        """G29: Stop pressed twice; the second hits the making of the first one's traceback."""
        parent = frontend.execute(
            "class Slow(Exception):\n"
            "    def _render_traceback_(self):\n"
            "        print('showing')\n"
            "        time.sleep(1000)\n"
            "        return ['shown']\n"
            "raise Slow('x')"
        )
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "showing\n", parent)
        request = frontend.interrupt()
        told = recv_both(frontend, parent, request)
        assert told == [("stderr", "\nKeyboardInterrupt\n\n"), ("error", "Slow")]
        assert frontend.recv_reply(parent, "error")["ename"] == "Slow"
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")


class TestOtherRequests:
    def test_a_comm_handler(self, frontend):
        """G29: a handler that never returns can be interrupted; the kernel goes on."""
        code = """
comm = create_comm(target_name='t', comm_id='c')
@comm.on_msg
def _(message): print('held'); time.sleep(1000)
"""
        assert frontend.run(code) == [("comm_open", {})]
        parent = frontend.send("shell", "comm_msg", {"comm_id": "c", "data": {}})
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        request = frontend.interrupt()
        assert {kind for kind, _ in recv_both(frontend, parent, request)} <= {"stderr"}
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
        assert frontend.run("comm.close()") == [("comm_close", {})]

    def test_a_completion(self, frontend):
        """G29, G9: the request gets its one reply all the same."""
        code = """
class Slow:
    def __dir__(self): print('held'); time.sleep(1000)
slow = Slow()
"""
        assert frontend.run(code) == []
        parent = frontend.send("shell", "complete_request", {"code": "slow.", "cursor_pos": 5})
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        request = frontend.interrupt()
        recv_both(frontend, parent, request)
        frontend.recv("shell", "complete_reply", parent)
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")


class TestIdle:
    def test_an_idle_worker_ignores_interrupts(self, frontend):
        """G28: a manager sends one before every shutdown; nothing happens, and nothing is kept."""
        pid = frontend.worker_pid()
        for _ in range(20):
            interrupt(frontend)
        os.kill(pid, signal.SIGINT)
        os.killpg(pid, signal.SIGINT)
        assert frontend.run("1 + 1") == [("result", "2")]
        assert frontend.worker_pid() == pid

    def test_a_background_task_is_not_interrupted(self, frontend, tmp_path):
        """G27, G28: between cells no request runs, whatever tasks and threads do."""
        code = """
asked, n = asyncio.Event(), 0
async def work():
    global n
    while not asked.is_set():
        n += 1
        await asyncio.sleep(0)
task = asyncio.create_task(work())
"""
        assert frontend.run(code) == []
        for _ in range(50):
            interrupt(frontend)
        assert frontend.run("asked.set(); await task; n > 0") == [("result", "True")]

    def test_an_interrupt_between_a_cell_and_the_next_is_forgotten(self, frontend):
        """G27: sent when nothing runs, it hits none of the cells that follow at once."""
        for i in range(100):
            request = frontend.interrupt()
            frontend.recv("control", "interrupt_reply", request)
            parent = frontend.execute(f"print({i})")
            frontend.recv_busy(request)
            frontend.recv_idle(request)
            assert frontend.finish(parent) == [("stdout", f"{i}\n")]


class TestBorder:
    def test_an_interrupt_never_hits_a_later_request(self, frontend, tmp_path):
        """G27: 200 interrupts swept across the border of two queued cells.

        A cell can only be hit by an interrupt that was not yet answered when the cell before it
        was over: what Control answers before idle(P) was received before Q was given away.
        """
        rng = random.Random(27)
        gate = Gate(tmp_path)
        hits = {"P": 0, "Q": 0, "nothing": 0}
        for _ in range(200):
            first = frontend.execute(f"{gate.wait};", stop_on_error=False)
            second = frontend.execute("for i in range(20_000): pass", stop_on_error=False)
            frontend.recv_begin(first)
            early = rng.random() < 0.1  # a sweep begins before the border
            with gate.meet():
                request = frontend.interrupt() if early else None
            until = time.perf_counter() + rng.uniform(0, 0.003)
            while time.perf_counter() < until:
                pass
            request = request or frontend.interrupt()
            story = []
            while sum(entry[1:] == ("status", "idle") for entry in story) < 3:
                message = frontend.recv("iopub")
                names = {first: "P", second: "Q", request: "I"}
                story.append((names[message.parent_id], *message.entry))
            hit = [who for who, kind, _ in story if kind == "error"]
            assert len(hit) <= 1, story
            for who, parent in (("P", first), ("Q", second)):
                told = [] if who not in hit else [(who, "error", "KeyboardInterrupt")]
                own = [entry for entry in story if entry[0] == who]
                if who == "Q":
                    assert own.pop(0) == ("Q", "status", "busy"), story
                    if told and own[0] == told[0]:
                        pass  # hit before its first bytecode: it never had an input
                    else:
                        assert own.pop(0)[1] == "input", story
                assert own == [*told, (who, "status", "idle")], story
                reply = frontend.recv("shell", "execute_reply", parent).content
                assert reply["status"] == ("error" if told else "ok"), story
            if hit == ["Q"]:
                answered = story.index(("I", "status", "idle"))
                assert story.index(("P", "status", "idle")) < answered, story
            hits[hit[0] if hit else "nothing"] += 1
            frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
        assert hits["P"], f"the sweep missed the border: {hits}"
        assert hits["Q"] + hits["nothing"], f"the sweep missed the border: {hits}"

    def test_an_interrupt_at_the_first_bytecode_acts(self, frontend):
        """G27, race 17: received as soon as the cell is busy, it is never lost."""
        for _ in range(50):
            parent = frontend.execute("while True: pass")
            frontend.recv_busy(parent)
            frontend.recv_input(parent)
            hit(frontend, parent)

    def test_an_interrupt_right_behind_a_request_acts_on_it_or_on_nothing(self, frontend):
        """G27: sent together with the cell, it comes before the cell begins, or acts on it."""
        for _ in range(50):
            parent = frontend.execute("for i in range(20_000): pass", stop_on_error=False)
            request = frontend.interrupt()
            entries = []
            while sum(entry[1:] == ("status", "idle") for entry in entries) < 2:
                message = frontend.recv("iopub")
                entries.append((message.parent_id, *message.entry))
            errors = [entry for entry in entries if entry[1] == "error"]
            assert errors in ([], [(parent, "error", "KeyboardInterrupt")])
            frontend.recv_reply(parent, "error" if errors else "ok")
            frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
            assert frontend.run("1") == [("result", "1")]


class TestRecords:
    def test_big_displays_under_interrupts_are_whole(self, frontend):
        """G28: interrupts at random moments of 1 MB displays; each one is whole, in order."""
        rng = random.Random(28)
        pid = frontend.worker_pid()
        code = """
from IPython.display import display
for i in range(10_000): display({'text/plain': f'{i}' + 'x' * 1_000_000}, raw=True)
"""
        for _ in range(20):
            parent = frontend.execute(code)
            frontend.recv_begin(parent)
            count = rng.randrange(1, 6)
            for i in range(count):
                frontend.recv_display(parent, f"{i}" + "x" * 1_000_000)
            request, errors, idles = frontend.interrupt(), 0, set()
            while idles != {parent, request}:
                message = frontend.recv("iopub")
                if message.type == "display_data":
                    assert not errors
                    assert message.content["data"]["text/plain"] == f"{count}" + "x" * 1_000_000
                    count += 1
                elif message.type == "error":
                    assert message.entry == ("error", "KeyboardInterrupt")
                    errors += 1
                elif message.content["execution_state"] == "idle":
                    idles.add(message.parent_id)
            assert errors == 1
            frontend.recv_reply(parent, "error")
            frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
        assert frontend.worker_pid() == pid

    def test_long_texts_under_interrupts_are_whole(self, frontend):
        """G28: interrupts at random moments of prints of 2 MB; each one is whole, in order."""
        rng = random.Random(5)
        pid = frontend.worker_pid()
        code = "for i in range(10_000): sys.stdout.write(f'{i}' + 'x' * 2_000_000 + '\\n')"
        for _ in range(10):
            parent = frontend.execute(code)
            frontend.recv_begin(parent)
            texts = [frontend.recv("iopub").entry[1] for _ in range(rng.randrange(1, 20))]
            request, idles, errors = frontend.interrupt(), set(), 0
            while idles != {parent, request}:
                message = frontend.recv("iopub")
                if message.type == "stream":
                    assert not errors
                    texts.append(message.entry[1])
                elif message.type == "error":
                    assert message.entry == ("error", "KeyboardInterrupt")
                    errors += 1
                elif message.content["execution_state"] == "idle":
                    idles.add(message.parent_id)
            lines = "".join(texts).split("\n")
            assert lines.pop() == ""
            assert lines == [f"{i}" + "x" * 2_000_000 for i in range(len(lines))]
            assert errors == 1
            frontend.recv_reply(parent, "error")
            frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
        assert frontend.worker_pid() == pid

    def test_a_hail_of_signals_costs_no_text(self, frontend):
        """G28: 150 SIGINTs into a cell that catches them and prints; each line is whole, in order.

        A line may be missing where the interrupt came before its record was begun.
        """
        pid = frontend.worker_pid()
        code = """
def talk():
    global n
    while not asked:
        n += 1
        sys.stdout.write(f'{n}\\n')
def carry_on():
    try: talk()
    except KeyboardInterrupt: pass
n, asked = 0, []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
while not asked:
    try: carry_on()
    except KeyboardInterrupt: pass
"""
        for _ in range(3):
            parent = frontend.execute(code)
            frontend.recv_begin(parent)
            entries = []
            for _ in range(50):
                # One signal for each message; a signal may hit the one line that catches nothing.
                entries.append(frontend.recv("iopub").entry)
                if entries[-1][0] == "error":
                    break
                os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGUSR1)
            while entries[-1] != ("status", "idle"):
                message = frontend.recv("iopub")
                assert message.parent_id == parent
                entries.append(message.entry)
            reply = frontend.recv("shell", "execute_reply", parent).content
            *texts, _ = entries
            if reply["status"] == "error":
                assert texts.pop() == ("error", "KeyboardInterrupt")
            assert {kind for kind, _ in texts} == {"stdout"}
            numbers = [int(line) for line in "".join(text for _, text in texts).splitlines()]
            assert numbers == sorted(set(numbers))
            assert frontend.run("signal.signal(signal.SIGUSR1, signal.SIG_IGN);") == []
        assert frontend.worker_pid() == pid


class TestInput:
    def test_an_interrupt_raises_in_input(self, frontend):
        """G30: error KeyboardInterrupt; the late reply is dropped; the next input gets its own."""
        parent = frontend.execute("input('first')", allow_stdin=True)
        frontend.recv_begin(parent)
        first = frontend.recv("stdin", "input_request", parent)
        hit(frontend, parent)
        frontend.send_input("late", first)
        parent = frontend.execute("input('second')", allow_stdin=True)
        frontend.recv_begin(parent)
        second = frontend.recv("stdin", "input_request", parent)
        frontend.send_input("late, too", first)
        frontend.send_input("in time", second)
        frontend.recv_result(parent, "'in time'")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)

    def test_a_cell_may_ask_again_after_an_interrupt(self, frontend):
        """G30: two prompts in a cell, the first interrupted; the late answer is nobody's."""
        code = """
try: input('first')
except KeyboardInterrupt: pass
input('second')
"""
        parent = frontend.execute(code, allow_stdin=True)
        frontend.recv_begin(parent)
        first = frontend.recv("stdin", "input_request", parent)
        interrupt(frontend)
        second = frontend.recv("stdin", "input_request", parent)
        assert second.content["prompt"] == "second"
        frontend.send_input("late", first)
        frontend.send_input("in time", second)
        frontend.recv_result(parent, "'in time'")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)


SLOW = """
import os, signal
shown = get_ipython().InteractiveTB.structured_traceback
def slow(*args, **options):
    get_ipython().InteractiveTB.structured_traceback = shown
    r, w = os.pipe()
    os.set_blocking(w, False)
    before = signal.set_wakeup_fd(w)
    print('showing')
    os.read(r, 1)
    signal.set_wakeup_fd(before)
    return shown(*args, **options)
get_ipython().InteractiveTB.structured_traceback = slow
"""
"""The next error is shown as ever, but not before a signal has come meanwhile."""


class TestWhileAnErrorIsShown:
    @pytest.fixture
    def slow(self, launch):
        """A kernel that shows errors slowly."""
        fresh = launch()
        assert fresh.run(SLOW) == []
        return fresh

    def test_another_interrupt_is_no_news(self, slow):
        """G29: the first one's error is told whole, and by the same interpreter."""
        pid = slow.worker_pid()
        parent = slow.execute("print('held')\nwhile True: pass")
        slow.recv_begin(parent)
        slow.recv_stream("stdout", "held\n", parent)
        interrupt(slow)
        slow.recv_stream("stdout", "showing\n", parent)
        assert hit(slow, parent) == []
        assert slow.worker_pid() == pid

    def test_the_end_of_the_kernel_is_no_news(self, slow):
        """G9, G31: how the cell has failed is told, or that there was no time left to tell it."""
        parent = slow.execute("1 / 0")
        slow.recv_begin(parent)
        slow.recv_stream("stdout", "showing\n", parent)
        request = slow.send("control", "shutdown_request", {"restart": True})
        told = [message.entry for message in slow.recv_until_idle(parent)]
        failed, stopped = ("error", "ZeroDivisionError"), ("error", "KernelStopped")
        assert told in ([failed], [stopped], [failed, stopped])
        slow.recv_reply(parent, "error")
        slow.recv_shutdown(request, restart=True)
        slow.end()

    def test_an_interrupt_of_what_shows_it_leaves_its_name(self, frontend):
        """G9: an error that takes for ever to show ends its cell as an error."""
        frontend.run(
            "class Slow(Exception):\n"
            "    asked = 0\n"
            "    def __str__(self):\n"
            "        Slow.asked += 1\n"
            "        if Slow.asked > 1: return 'slow'\n"
            "        print('showing'); time.sleep(1000)\n"
        )
        parent = frontend.execute("raise Slow")
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "showing\n", parent)
        request = frontend.interrupt()
        assert recv_both(frontend, parent, request) == [
            ("stderr", "\nKeyboardInterrupt\n\n"), ("error", "Slow")
        ]  # fmt: skip
        assert frontend.recv_reply(parent, "error")["evalue"] == "(showing it was interrupted)"
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")

    def test_what_hangs_while_it_shows_an_interrupt_can_be_ended(self, impatient):
        """G29: an interrupt that is no news has been heard only once the error is shown."""
        impatient.run(SLOW.replace("os.read(r, 1)", "while True: pass"))
        parent = impatient.execute("print('held')\nwhile True: pass")
        impatient.recv_begin(parent)
        impatient.recv_stream("stdout", "held\n", parent)
        interrupt(impatient)
        impatient.recv_stream("stdout", "showing\n", parent)
        interrupt(impatient)
        message = impatient.recv("iopub", "stream", parent)
        assert "interrupt again to end the interpreter" in message.content["text"]
        request = impatient.interrupt()
        assert recv_both(impatient, parent, request) == [("error", "KernelInterrupted")]
        impatient.recv_reply(parent, "error")
        impatient.recv_reply(request, msg_type="interrupt_reply", channel="control")


STUCK = """
import itertools, os
endless = itertools.chain(map(os.write, [1], [b'held\\n']), itertools.repeat(1))
max(endless)
"""
"""C code that holds the GIL for ever and never looks at signals; it says so from within."""


def stuck(frontend):
    """Start such a cell and interrupt it once; give it, after it was told where it is stuck."""
    parent = frontend.execute(STUCK)
    frontend.recv_begin(parent)
    frontend.recv_stream("stdout", "held\n", parent)
    interrupt(frontend)
    remark = frontend.recv("iopub", "stream", parent)
    assert remark.content["name"] == "stderr"
    assert "line 3" in ANSI.sub("", remark.content["text"])
    return parent


@pytest.fixture
def impatient(launch):
    """A kernel that takes less time to tell where a cell is stuck."""
    return launch(options=("--interrupt-stuck-after=0.2", "--interrupt-kill-after=600"))


class TestStuck:
    def test_a_second_interrupt_ends_what_ignores_the_first(self, impatient):
        """G29, race 18: C code that holds the GIL and never looks at signals can be stopped.

        The first interrupt is told on stderr, with the line, once it has not been taken for a
        while; the second then ends the worker, and the cell says so as a crash does.
        """
        parent = stuck(impatient)
        request = impatient.interrupt()
        assert recv_both(impatient, parent, request)[-1] == ("error", "KernelInterrupted")
        impatient.recv_reply(parent, "error")
        impatient.recv_reply(request, msg_type="interrupt_reply", channel="control")
        assert impatient.run("1") == [("result", "1")]

    def test_all_else_is_answered_meanwhile(self, impatient):
        """G12: a cell that is stuck keeps nobody from being answered; what is queued is aborted."""
        parent = stuck(impatient)
        queued = impatient.execute("never")
        for _ in range(5):
            impatient.request("kernel_info_request")
            impatient.request("kernel_info_request", channel="control")
            impatient.request("comm_info_request")
            impatient.beat()
        request = impatient.interrupt()
        assert recv_both(impatient, parent, request)[-1] == ("error", "KernelInterrupted")
        impatient.recv_reply(parent, "error")
        impatient.recv_reply(request, msg_type="interrupt_reply", channel="control")
        impatient.recv_aborted(queued)
        assert impatient.run("1") == [("result", "1")]

    def test_the_deadline_ends_it_without_a_second_interrupt(self, launch):
        """G29, race 18: nobody has to press twice."""
        frontend = launch(options=("--interrupt-stuck-after=0.1", "--interrupt-kill-after=0.3"))
        parent = stuck(frontend)
        while (message := frontend.recv("iopub")).type == "stream":
            assert message.content["name"] == "stderr"
        assert message.parent_id == parent
        assert message.entry == ("error", "KernelInterrupted")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")
        assert frontend.run("1") == [("result", "1")]

    def test_a_cell_that_takes_it_late_is_left_alone(self, launch):
        """G28: who hears the interrupt in time is not ended, and one interrupt acts once."""
        frontend = launch(options=("--interrupt-stuck-after=600", "--interrupt-kill-after=600"))
        pid = frontend.worker_pid()
        code = STUCK.replace("repeat(1)", "repeat(1, 3 * 10**7)")
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        hit(frontend, parent)
        assert frontend.worker_pid() == pid


def test_held_cells_can_be_let_go(frontend, tmp_path):
    """G27: an interrupt after a cell is over leaves the next one alone."""
    gate = Gate(tmp_path)
    parent = frontend.hold(gate)
    gate.open()
    frontend.recv_idle(parent)
    interrupt(frontend)
    frontend.recv_reply(parent)
    assert frontend.run("1") == [("result", "1")]
