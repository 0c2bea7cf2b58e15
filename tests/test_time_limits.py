"""--cpu-limit and --cell-timeout: TimeoutError in the cell, and whose interrupt it was."""

from __future__ import annotations

import pytest
from frontend import Gate, merged

KERNEL = {"options": ["--cell-timeout=1", "--interrupt-kill-after=1.5"]}

SETUP = """
import asyncio, ctypes, os, signal, subprocess, threading, time
def spin():
    while True: pass
async def endless(): spin()
"""

TOO_LONG = {
    "a sleep": "time.sleep(1000)",
    "a loop": "spin()",
    "an await": "await asyncio.sleep(1000)",
    "an await of a future": "await asyncio.get_running_loop().create_future()",
    "a wait_for": "await asyncio.wait_for(asyncio.sleep(1000), 900)",
    "gathered tasks": "await asyncio.gather(endless(), asyncio.sleep(1000))",
    "another task": "task = asyncio.create_task(endless()); await asyncio.sleep(1000)",
    "a child": "subprocess.run(['sleep', '1000'])",
    "a lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "a finally": "try: time.sleep(1000)\nfinally: kept = 2",
    "what others call": "from contextlib import suppress\nwith suppress(KeyError): spin()",
}


@pytest.fixture(autouse=True)
def _setup(frontend):
    assert frontend.run(SETUP) == []


class TestCellTimeout:
    @pytest.mark.parametrize("case", TOO_LONG)
    def test_a_cell_that_takes_too_long_is_told(self, frontend, case):
        """Issue, 5: TimeoutError that names the option; the interpreter lives."""
        pid = frontend.worker_pid()
        out = frontend.run(TOO_LONG[case], "error")
        assert out == [("error", "TimeoutError")]
        assert out.reply["evalue"] == "The cell took longer than 1 s (--cell-timeout)."
        assert frontend.worker_pid() == pid

    def test_a_callback_in_the_way_is_told_and_the_cell_too(self, frontend):
        """Issue, 5: asyncio keeps a TimeoutError in a callback to itself; the cell still ends."""
        code = "asyncio.get_running_loop().call_soon(spin); await asyncio.sleep(1000)"
        text, error = frontend.run(code, "error")
        assert text[0] == "stderr"
        assert "Exception in callback spin()" in text[1]
        assert error == ("error", "TimeoutError")

    def test_a_cell_that_goes_on_is_ended(self, frontend):
        """Issue, 5: told once; if it goes on, KernelOutOfTime."""
        code = "while True:\n try: time.sleep(1000)\n except TimeoutError: print('told')"
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "told\n", parent)
        error = frontend.recv_crash(parent, "KernelOutOfTime")
        assert "(--cell-timeout)" in error["evalue"]
        assert frontend.run("1") == [("result", "1")]

    def test_native_code_that_does_not_listen_is_ended(self, frontend):
        """Issue, 5: also where no error can be raised."""
        deaf = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
ctypes.PyDLL(None).usleep(999_000_000)
"""
        parent = frontend.execute(deaf)
        frontend.recv_begin(parent)
        frontend.recv_crash(parent, "KernelOutOfTime")

    def test_a_prompt_counts(self, frontend):
        """Issue, 5: a cell that waits for input takes time, too; its late answer is dropped."""
        parent = frontend.execute("input('? ')", allow_stdin=True)
        frontend.recv_begin(parent)
        prompt = frontend.recv("stdin", "input_request", parent)
        frontend.recv_error(parent, "TimeoutError")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")
        frontend.send_input("late", prompt)
        parent = frontend.execute("print(input('? '))", allow_stdin=True)
        frontend.recv_begin(parent)
        frontend.send_input("in time", frontend.recv("stdin", "input_request", parent))
        frontend.recv_stream("stdout", "in time\n", parent)
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)

    def test_each_cell_has_the_whole_time(self, frontend):
        """G27: cells that together take longer are left alone."""
        cells = [frontend.execute("time.sleep(0.4)") for _ in range(5)]
        for cell in cells:
            assert frontend.finish(cell) == []


class TestWhoseInterrupt:
    def test_the_user_s_own_is_a_keyboard_interrupt_again(self, frontend, tmp_path):
        """G27: after a limit's interrupt, one of the user's is what it always is."""
        assert frontend.run("time.sleep(1000)", "error") == [("error", "TimeoutError")]
        parent = frontend.hold(Gate(tmp_path))
        request = frontend.interrupt()
        seen = [frontend.recv("iopub") for _ in range(4)]
        own = [message.entry for message in seen if message.parent_id == parent]
        assert own == [("error", "KeyboardInterrupt"), ("status", "idle")]
        assert sorted(m.entry[1] for m in seen if m.parent_id == request) == ["busy", "idle"]
        frontend.recv_reply(parent, "error")
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")

    def test_in_the_same_cell_too(self, frontend):
        """G29: whoever signals the worker itself means an interrupt, told or not."""
        code = """
try: time.sleep(1000)
except TimeoutError: print('told')
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1000)
except KeyboardInterrupt: print('interrupted')
"""
        assert merged(frontend.run(code)) == [("stdout", "told\ninterrupted\n")]

    def test_a_limit_that_is_passed_when_the_cell_ends_hits_nothing_else(self, frontend):
        """G27, race 16: whatever a cell's own fate, its time is never the next cell's matter."""
        fates = []
        for seconds in (0.9, 0.96, 0.99, 1.0, 1.01, 1.03, 1.06, 1.1, 1.15, 1.2, 1000):
            cell = frontend.execute(f"time.sleep({seconds})", stop_on_error=False)
            following = [frontend.execute(f"time.sleep(0.02); {n}") for n in range(3)]
            frontend.recv_busy(cell)
            frontend.recv_until_idle(cell)
            reply = frontend.recv("shell", "execute_reply", cell).content
            assert reply.get("ename", "ok") in ("ok", "TimeoutError")
            fates.append(reply["status"])
            for n, parent in enumerate(following):
                assert frontend.finish(parent) == [("result", str(n))]
        assert fates[0] == "ok"
        assert fates[-1] == "error"


class TestCpuLimit:
    def test_work_counts_and_sleep_does_not(self, launch):
        """Issue, 5: --cpu-limit counts the work of the cell and of its children."""
        frontend = launch(options=["--cpu-limit=0.7"])
        assert frontend.run("import os, subprocess, time; time.sleep(1.5)") == []
        out = frontend.run("while True: pass", "error")
        assert out == [("error", "TimeoutError")]
        assert out.reply["evalue"] == (
            "The cell used more than 0.7 s of processor time (--cpu-limit)."
        )
        code = "subprocess.run(['sh', '-c', 'while :; do :; done'])"
        assert frontend.run(code, "error") == [("error", "TimeoutError")]
        assert frontend.run("time.sleep(1.5)") == []


def test_shutdown_while_a_limit_is_enforced(launch):
    """Race 21: a kernel that ends is no death that is told as one."""
    frontend = launch(options=["--cell-timeout=0.2", "--interrupt-kill-after=0.5"])
    code = "import time\nwhile True:\n try: time.sleep(1000)\n except BaseException: print('told')"
    parent = frontend.execute(code)
    frontend.recv_begin(parent)
    frontend.recv_stream("stdout", "told\n", parent)
    request = frontend.send("control", "shutdown_request", {"restart": False})
    while frontend.recv("control").type != "shutdown_reply":
        pass
    assert request
    assert frontend.kernel.wait() == 0
    frontend.kernel.assert_gone()
    frontend.give_up()
