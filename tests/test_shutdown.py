"""The end of a kernel (G31 to G33), in every state, by every way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from frontend import DEADLINE, Gate, Kernel, UnexpectedError, kernel, wait_gone

FORKED = """
import os, signal, subprocess, time
r, w = os.pipe()
for alone in (False, True):
    if not os.fork():
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback
        if alone: os.setsid()
        os.write(w, b'.')
        time.sleep(1000)
    os.read(r, 1)
a = subprocess.Popen(['sleep', '1000'])
b = subprocess.Popen(['sleep', '1000'], start_new_session=True)
"""
"""Four children of the user: two in the worker's group, two in sessions of their own."""

STUBBORN = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""

# A shutdown is answered within this many seconds, whatever the worker does. jupyter_client sends
# SIGTERM after 2.5 s.
SHUTDOWN_DEADLINE = 2.5


def strangers(frontend):
    """Give the children of the user that have a session of their own."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:  # a process that has just begun has no environment yet
        pids = frontend.kernel.processes()
        if len(alone := [pid for pid in pids if os.getsid(pid) != frontend.kernel.pid]) == 2:
            return alone
    raise UnexpectedError("the children of the user did not start")


def busy(frontend, code):
    parent = frontend.execute(f"print('held')\n{code}")
    frontend.recv_begin(parent)
    frontend.recv_stream("stdout", "held\n", parent)
    return parent


def recv_stopped(frontend, parent, *, begun=True):
    """Receive what becomes of a request that the end of the kernel overtook (G9, G31)."""
    if not begun:
        frontend.recv_busy(parent)
    frontend.recv_error(parent, "KernelStopped")
    frontend.recv_idle(parent)
    frontend.recv_reply(parent, "error")


class TestShutdown:
    @pytest.mark.parametrize("restart", [False, True])
    def test_idle(self, fresh, restart):
        """G31: the answer comes after the worker is gone; on control, and on IOPub for all."""
        pid = fresh.worker_pid()
        other = fresh.connect()
        parent = fresh.send("control", "shutdown_request", {"restart": restart})
        reply = fresh.recv("control", "shutdown_reply", parent)
        assert wait_gone(pid, 0), "the worker is gone when the answer comes"
        assert reply.content == {"status": "ok", "restart": restart}
        for client in (fresh, other):
            client.recv_busy(parent)
            assert client.recv("iopub", "shutdown_reply", parent).content == reply.content
            client.recv_idle(parent)
        fresh.end()

    def test_on_the_shell_channel(self, fresh):
        """G31: where clients of protocols before 5.4 send it."""
        fresh.run("1")
        parent = fresh.send("shell", "shutdown_request", {"restart": False})
        fresh.recv_busy(parent)
        fresh.recv("iopub", "shutdown_reply", parent)
        fresh.recv_idle(parent)
        fresh.recv_reply(parent, msg_type="shutdown_reply")
        fresh.end()

    @pytest.mark.parametrize("content", [{}, {"restart": "yes"}, b"not json", b"[]"])
    def test_malformed_content(self, tmp_path, content):
        """G9, G31: a request to end ends the kernel, however it is written."""
        with kernel(tmp_path / "kernel") as frontend:
            parent = frontend.send("control", "shutdown_request", content)
            frontend.recv_busy(parent)
            frontend.recv("iopub", "shutdown_reply", parent)
            frontend.recv_idle(parent)
            frontend.recv_reply(parent, msg_type="shutdown_reply", channel="control")
            frontend.end()

    @pytest.mark.parametrize(
        "code",
        [
            "import time; time.sleep(1000)",
            "while True: pass",
            "import asyncio; await asyncio.sleep(1000)",
            "import itertools; max(itertools.repeat(1))",
            "import time\nwhile True:\n try: time.sleep(1000)\n except BaseException: pass",
            STUBBORN + "import time; time.sleep(1000)",
            STUBBORN + "import itertools; max(itertools.repeat(1))",
        ],
    )
    def test_busy(self, fresh, code):
        """G31, G9: the cell gets its error, idle and reply, then the shutdown its answer."""
        parent = busy(fresh, code)
        queued = fresh.execute("never")
        fresh.arrived()
        begin = time.monotonic()
        request = fresh.send("control", "shutdown_request", {"restart": False})
        told = [m.entry for m in fresh.recv_until_idle(parent)]
        assert told in ([("error", "KernelStopped")], [("error", "KeyboardInterrupt")]), told
        reply = fresh.recv_reply(parent, "error")
        assert reply["ename"] == told[0][1]
        # Whoever has the shutdown's answer stops listening, so it is the last one.
        fresh.recv_busy(queued)
        message = fresh.recv("iopub")
        if message.type == "error":  # an interrupted cell aborts what is queued, a killed one not
            assert message.content["ename"] == "KernelStopped"
            message = fresh.recv("iopub")
        assert message.entry == ("status", "idle")
        status = fresh.recv("shell", "execute_reply", queued).content["status"]
        assert status in ("error", "aborted")
        fresh.recv_shutdown(request)
        assert time.monotonic() - begin < SHUTDOWN_DEADLINE
        fresh.end()

    def test_in_input(self, fresh):
        """G31, G33: input() ends; the prompt's late reply reaches nobody."""
        parent = fresh.execute("input('?')", allow_stdin=True)
        fresh.recv_begin(parent)
        prompt = fresh.recv("stdin", "input_request", parent)
        request = fresh.send("control", "shutdown_request", {"restart": True})
        told = [m.entry[0] for m in fresh.recv_until_idle(parent)]
        assert told == ["error"]
        fresh.recv_reply(parent, "error")
        fresh.send_input("late", prompt)
        fresh.recv_shutdown(request, restart=True)
        fresh.end()

    def test_in_input_as_jupyter_client_asks(self, fresh):
        """G9, G31, G33: the client interrupts first, and the error is told whatever comes when."""
        parent = fresh.execute("input('?')", allow_stdin=True)
        fresh.recv_begin(parent)
        fresh.recv("stdin", "input_request", parent)
        first = fresh.send("control", "interrupt_request")
        request = fresh.send("control", "shutdown_request", {"restart": True})
        told = []
        while ("idle", parent) not in told:
            message = fresh.recv("iopub")
            told.append((message.entry[-1], message.parent_id))
        own = [entry for entry, of in told if of == parent]
        error, *rest = own
        assert error in ("KeyboardInterrupt", "EOFError", "KernelStopped")
        # A busy machine may have no time left for what comes behind its error.
        assert rest in (["idle"], ["KernelStopped", "idle"])
        assert [entry for entry, of in told if of != parent] == ["busy", "idle"]
        fresh.recv_reply(first, msg_type="interrupt_reply", channel="control")
        fresh.recv_reply(parent, "error")
        fresh.recv_shutdown(request, restart=True)
        fresh.end()

    def test_at_once(self, tmp_path):
        """G31, race 40: asked for while the worker starts; what waited for it is told so."""
        with kernel(tmp_path / "kernel") as frontend:
            request = frontend.send("control", "shutdown_request", {"restart": False})
            frontend.recv_shutdown(request)
            frontend.end()

    def test_while_a_start_up_file_runs(self, tmp_path):
        """G31, race 40: a worker that says no hello is ended; the cell that waits is told so."""
        folder = tmp_path / "kernel"
        startup = folder / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "slow.py").write_text(STUBBORN + "import time\ntime.sleep(1000)")
        with kernel(folder) as frontend:
            parent = frontend.execute("1")
            frontend.arrived()
            request = frontend.send("control", "shutdown_request", {"restart": False})
            recv_stopped(frontend, parent, begun=False)
            frontend.recv_shutdown(request)
            frontend.end()

    def test_with_children(self, fresh):
        """G31: what is in the worker's group goes with it; a session of its own is spared."""
        assert fresh.run(FORKED) == []
        spared = strangers(fresh)
        fresh.shutdown()
        fresh.end(spared=spared)

    def test_two_requests(self, fresh):
        """G31, race 41: asked twice, both are answered."""
        requests = [fresh.send("control", "shutdown_request", {}) for _ in range(2)]
        messages = [fresh.recv("iopub") for _ in range(6)]
        for request in requests:
            assert [m.entry[0] for m in messages if m.parent_id == request] == [
                "status",
                "shutdown_reply",
                "status",
            ]
            fresh.recv_reply(request, msg_type="shutdown_reply", channel="control")
        fresh.end()

    def test_requests_into_the_end_are_answered_or_never_taken(self, fresh):
        """G31, G9: cells sent right behind the shutdown are answered while there is a socket."""
        request = fresh.send("control", "shutdown_request", {})
        cells = {fresh.execute("1") for _ in range(10)}
        assert fresh.kernel.wait() == 0
        opened, over, published = set(), set(), []
        while fresh.sockets["iopub"].poll(1000):
            message = fresh.recv("iopub")
            published.append(message.type)
            if message.entry == ("status", "busy"):
                opened.add(message.parent_id)
            elif message.entry == ("status", "idle"):
                over.add(message.parent_id)
        assert opened == over
        assert request in over
        replied = set()
        while fresh.sockets["shell"].poll(0):
            replied.add(fresh.recv("shell").parent_id)
        assert replied == (over & cells)
        fresh.recv_reply(request, msg_type="shutdown_reply", channel="control")
        fresh.end()


class TestGoodbyes:
    def test_exit_handlers_and_finalizers_run(self, fresh, tmp_path):
        """G31: where the interpreter still listens, it ends as an interpreter ends."""
        file = tmp_path / "goodbye"
        code = f"""
import atexit
def say(word):
    with open({str(file)!r}, 'a') as f: f.write(word)
class Object:
    def __del__(self, say=say): say('del ')
it = Object()
atexit.register(say, 'atexit ');
"""
        assert fresh.run(code) == []
        fresh.shutdown()
        fresh.end()
        assert sorted(file.read_text().split()) == ["atexit", "del"]

    def test_what_they_print_is_published(self, fresh):
        """G18's sister: the last words of an orderly end have no request, and are not lost."""
        code = "import atexit; atexit.register(print, 'goodbye'); atexit.register(1 .__truediv__);"
        assert fresh.run(code) == []
        request = fresh.send("control", "shutdown_request", {"restart": False})
        text = ""
        while (message := fresh.recv("iopub")).type == "stream":
            text += message.content["text"]
        assert "goodbye\n" in text
        assert message.entry == ("status", "busy")
        assert message.parent_id == request
        fresh.recv("iopub", "shutdown_reply", request)
        fresh.recv_idle(request)
        fresh.recv_reply(request, msg_type="shutdown_reply", channel="control")
        fresh.end()

    def test_a_cell_is_ended_by_its_own_clean_up(self, fresh, tmp_path):
        """G31: the running cell is interrupted first, so that `finally` runs."""
        file = tmp_path / "cleaned"
        code = f"""
import time
try:
    print('held')
    time.sleep(1000)
finally:
    open({str(file)!r}, 'w').close()
"""
        parent = fresh.execute(code)
        fresh.recv_begin(parent)
        fresh.recv_stream("stdout", "held\n", parent)
        request = fresh.send("control", "shutdown_request", {"restart": False})
        fresh.recv_error(parent, "KeyboardInterrupt")
        fresh.recv_idle(parent)
        fresh.recv_reply(parent, "error")
        fresh.recv_shutdown(request)
        fresh.end()
        assert file.exists()


class TestRestart:
    def test_on_the_same_ports_at_once(self, fresh):
        """G31, as jupyter_client restarts: the next kernel binds the same ports, thrice."""
        for i in range(3):
            assert fresh.run(f"x = {i}; x") == [("result", str(i))]
            fresh.shutdown(restart=True)
            assert fresh.kernel.wait() == 0
            fresh.kernel.assert_gone()
            fresh.kernel.start()
            fresh.kernel_session = None
            fresh.recv_welcome()
            assert fresh.run("'x' in dir()") == [("result", "False")]

    def test_on_the_same_ports_after_sigkill(self, fresh):
        """G32: also after the supervisor was killed, with the user's child still holding on."""
        assert fresh.run(FORKED) == []
        spared = strangers(fresh)
        os.kill(fresh.kernel.pid, signal.SIGKILL)
        assert fresh.kernel.wait() == -signal.SIGKILL
        fresh.kernel.start()
        fresh.kernel_session = None
        fresh.recv_welcome()
        assert fresh.run("1") == [("result", "1")]
        fresh.shutdown()
        fresh.end(spared=spared)


KILLED_STATES = {
    "idle": "",
    "in a sleep": "print('held'); time.sleep(1000)",
    "in C code": "import itertools; print('held'); max(itertools.repeat(1))",
    "stubborn": STUBBORN + "print('held'); time.sleep(1000)",
}


MOMENTS = (0.03, 0.06, 0.1, 0.2, 0.4)
"""Seconds after the start of a process at which something happens to it."""


def spin(seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


class TestKilled:
    @pytest.mark.parametrize("state", KILLED_STATES)
    def test_sigkill_of_the_supervisor(self, fresh, state):
        """G32: the worker and all of ours is gone within a second, the user's children included.

        Those in a session of their own are spared.
        """
        assert fresh.run(FORKED) == []
        spared = strangers(fresh)
        if code := KILLED_STATES[state]:
            parent = fresh.execute(code)
            fresh.recv_begin(parent)
            fresh.recv_stream("stdout", "held\n", parent)
        os.kill(fresh.kernel.pid, signal.SIGKILL)
        assert fresh.kernel.wait() == -signal.SIGKILL
        fresh.kernel.assert_gone(deadline=1.0, spared=spared)
        fresh.end(exit_code=-signal.SIGKILL, spared=spared)

    @pytest.mark.parametrize("delay", MOMENTS)
    def test_sigkill_of_the_supervisor_while_starting(self, tmp_path, delay):
        """G32: at any moment of its first half second."""
        started = Kernel(tmp_path / "kernel")
        try:
            spin(delay)
            os.kill(started.pid, signal.SIGKILL)
            assert started.wait() == -signal.SIGKILL
            started.assert_gone(deadline=1.0)
            started.assert_quiet_log()
        finally:
            started.kill()
            started.close()

    def test_sigkill_of_the_supervisor_s_group(self, fresh):
        """G32: as jupyter_client kills: the group of the supervisor, which is not the worker's."""
        parent = busy(fresh, "import itertools; max(itertools.repeat(1))")
        assert parent
        os.killpg(fresh.kernel.pid, signal.SIGKILL)
        assert fresh.kernel.wait() == -signal.SIGKILL
        fresh.kernel.assert_gone(deadline=1.0)
        fresh.end(exit_code=-signal.SIGKILL)

    def test_sigkill_of_the_zygote(self, fresh):
        """G32, race 46: no half-alive kernel; it ends as a whole, and the exit code says so."""
        fresh.logs_errors = True
        assert fresh.run("1") == [("result", "1")]
        zygote = fresh.kernel.family()[1]
        assert zygote.ppid() == fresh.kernel.pid
        zygote.kill()
        code = fresh.kernel.wait()
        assert code not in (0, None)
        fresh.kernel.assert_gone(deadline=1.0)
        while fresh.sockets["iopub"].poll(0):
            fresh.recv("iopub")
        fresh.end(exit_code=code)

    @pytest.mark.parametrize(
        ("signum", "state"),
        [*((signal.SIGTERM, state) for state in KILLED_STATES), (signal.SIGHUP, "in a sleep")],
    )
    def test_sigterm(self, fresh, signum, state):
        """G31, race 21: an orderly end: the cell is answered, nobody is left, no crash is told."""
        assert fresh.run(FORKED) == []
        spared = strangers(fresh)
        code = KILLED_STATES[state]
        if code:
            parent = fresh.execute(code)
            fresh.recv_begin(parent)
            fresh.recv_stream("stdout", "held\n", parent)
        os.kill(fresh.kernel.pid, signum)
        if code:
            told = [m.entry for m in fresh.recv_until_idle(parent)]
            assert told in ([("error", "KernelStopped")], [("error", "KeyboardInterrupt")]), told
            fresh.recv_reply(parent, "error")
        fresh.end(spared=spared)

    def test_sigint_to_everybody(self, fresh):
        """Race 20: Ctrl-C in the terminal of a server reaches all; nobody ends."""
        assert fresh.run("1") == [("result", "1")]
        for process in fresh.kernel.family():
            process.send_signal(signal.SIGINT)
        assert fresh.run("2") == [("result", "2")]

    @pytest.mark.parametrize("delay", [0, 0.05, 0.1, 0.2])
    def test_sigint_while_starting(self, tmp_path, delay):
        """Race 20: the same, from when the supervisor has its first child."""

        def interrupt(started):
            while len(started.family()) < 2:
                spin(0.001)
            spin(delay)
            for process in started.family():
                process.send_signal(signal.SIGINT)

        with kernel(tmp_path / "kernel", meanwhile=interrupt) as frontend:
            assert frontend.run("1") == [("result", "1")]

    def test_sigstop_and_sigcont(self, fresh):
        """A laptop's lid: either process is stopped for a moment, and nothing is lost."""
        worker = psutil.Process(fresh.worker_pid())
        supervisor = psutil.Process(fresh.kernel.pid)
        for process in (worker, supervisor):
            process.suspend()
            parent = fresh.execute("print('x'); 1")
            if process is worker:
                fresh.beat()
                fresh.request("kernel_info_request", channel="control")
            process.resume()
            assert fresh.finish(parent) == [("stdout", "x\n"), ("result", "1")]


LAUNCHER = """
import os, subprocess, sys
command = [sys.executable, '-m', 'bulkhead_kernel.supervisor', *sys.argv[1:]]
process = subprocess.Popen(command, env={**os.environ, 'JPY_PARENT_PID': str(os.getpid())},
                           start_new_session=True)
print(process.pid, flush=True)
sys.stdin.read()
os._exit(0)
"""


class TestParent:
    @pytest.mark.parametrize("code", ["", "import itertools; max(itertools.repeat(1))"])
    def test_the_death_of_the_parent_ends_the_kernel(self, tmp_path, code):
        """G32: JPY_PARENT_PID names the server; when it is gone, so is the kernel."""
        gate = Gate(tmp_path)
        launcher = tmp_path / "launcher.py"
        launcher.write_text(LAUNCHER.replace("sys.stdin.read()", gate.wait))
        command = (sys.executable, str(launcher))
        with kernel(tmp_path / "kernel", command=command) as frontend:
            assert frontend.run("1") == [("result", "1")]
            parent = busy(frontend, code) if code else None
            gate.open()
            assert frontend.kernel.wait() == 0  # the launcher
            if parent:
                told = [m.entry for m in frontend.recv_until_idle(parent)]
                assert told in ([("error", "KernelStopped")], [("error", "KeyboardInterrupt")])
                frontend.recv_reply(parent, "error")
            frontend.kernel.assert_gone(deadline=SHUTDOWN_DEADLINE)
            frontend.end()

    def test_a_parent_that_is_gone_already(self, tmp_path):
        """G32: a kernel that starts after its server has died ends at once."""
        gone = subprocess.Popen(["true"])
        gone.wait()
        with kernel_of(tmp_path, str(gone.pid)) as process:
            assert process.wait(10) == 0

    @pytest.mark.parametrize("pid", ["", "1", "x", "99999999999"])
    def test_a_parent_that_is_no_process_is_ignored(self, tmp_path, pid):
        """Whoever starts a kernel by hand has no such variable, or a strange one."""
        with kernel(tmp_path / "kernel", env={"JPY_PARENT_PID": pid}) as frontend:
            assert frontend.run("1") == [("result", "1")]


class kernel_of:  # noqa: N801 - reads as the function it stands for
    """A supervisor that nobody talks to."""

    def __init__(self, folder, parent):
        self._command = [
            sys.executable,
            "-m",
            "bulkhead_kernel.supervisor",
            "-f",
            str(folder / "c"),
        ]
        self._env = os.environ | {"JPY_PARENT_PID": parent, "IPYTHONDIR": str(folder / "ipython")}

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command, env=self._env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return self._process

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
