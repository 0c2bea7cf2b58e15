"""--memory-limit (G39): a cell that would pass it fails alone, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from frontend import wait_gone

MIB = 1 << 20
LIMIT = 384
KERNEL = {"options": [f"--memory-limit={LIMIT}MiB"]}

SETUP = """
import ctypes, mmap, os, subprocess, sys, threading, time
import numpy as np, pandas as pd
from multiprocessing import shared_memory
kept = np.arange(1_000_000)
"""

REFUSED = {
    "numpy": "big = np.ones(100_000_000)",
    "a list": "big = [None] * 100_000_000",
    "a growing list": "big = []\nwhile True: big.append(b'x' * 10_000)",
    "bytes": "big = bytes(900_000_000)",
    "text": "big = 'x' * 900_000_000",
    "pandas": "big = pd.DataFrame({i: np.arange(5_000_000.0) for i in range(100)})",
    "a thread's": """
def fill():
    global big, error
    try: big = np.ones(100_000_000)
    except MemoryError as e: error = e
thread = threading.Thread(target=fill); thread.start(); thread.join()
raise error
""",
    "the text of a value": "'x' * 200_000_000",
}
"""What asks the interpreter itself for too much."""

WATCHED = {
    "a mapping": """
big = mmap.mmap(-1, 900_000_000)
for at in range(0, len(big), mmap.PAGESIZE): big[at] = 1
""",
    "shared memory": """
big = shared_memory.SharedMemory(create=True, size=900_000_000)
try:
    for at in range(0, big.size, mmap.PAGESIZE): big.buf[at] = 1
finally:
    big.close(); big.unlink(); del big
""",
    "a subprocess": f"""
child = subprocess.Popen([sys.executable, '-c', '''
big = []
while sum(map(len, big)) < 900_000_000: big.append(b"x" * {MIB})
import time; time.sleep(1000)
'''])
try: child.wait()
finally: child.kill(); child.wait()
""",
    "a forked child": f"""
child = os.fork()
if not child:
    big = []
    while sum(map(len, big)) < 900_000_000: big.append(b"x" * {MIB})
    time.sleep(1000)
try: os.waitpid(child, 0)
finally: os.kill(child, 9)
""",
    "many children": f"""
code = f'big = b"x" * {60 * MIB}; import time; time.sleep(1000)'
# They are interrupted, too, and would tell of it.
quiet = subprocess.DEVNULL
children = [subprocess.Popen([sys.executable, '-c', code], stderr=quiet) for _ in range(9)]
try:
    for child in children: child.wait()
finally:
    for child in children: child.kill(); child.wait()
""",
}
"""What is seen from outside only."""


@pytest.fixture(autouse=True)
def _setup(frontend):
    assert frontend.run(SETUP) == []
    yield
    frontend.run("globals().pop('big', None); None")


def assert_intact(frontend):
    """What was there before is there, whole."""
    assert frontend.run("int(kept.sum()), len(kept)") == [("result", "(499999500000, 1000000)")]


class TestMemoryError:
    @pytest.mark.parametrize("case", REFUSED)
    def test_what_asks_for_too_much_is_refused(self, frontend, case):
        """G39: MemoryError in that cell; the text names the limit; all variables are there."""
        pid = frontend.worker_pid()
        out = frontend.run(REFUSED[case], "error")
        assert out == [("error", "MemoryError")]
        told = "\n".join(out.reply["traceback"])
        assert f"{LIMIT} MiB" in told
        assert "--memory-limit" in told
        assert_intact(frontend)
        assert frontend.worker_pid() == pid
        assert frontend.run("globals().pop('big', None) and None") == []

    @pytest.mark.parametrize("case", WATCHED)
    def test_what_only_the_watcher_sees_ends_in_the_same_error(self, frontend, case):
        """G39: MemoryError, or the end of the interpreter by a name and with a peak."""
        frontend.logs_errors = True
        pid = frontend.worker_pid()
        out = frontend.run(WATCHED[case], "error")
        ename = out[-1][1]
        assert f"{LIMIT} MiB" in out.reply["evalue"]
        assert "--memory-limit" in out.reply["evalue"]
        if ename == "KernelOutOfMemory":
            assert "They used" in out.reply["evalue"]
            assert wait_gone(pid, 5)
            assert frontend.run("'kept' in dir()") == [("result", "False")]
        else:
            assert ename == "MemoryError"
            assert_intact(frontend)
            assert frontend.worker_pid() == pid
            assert frontend.run("globals().pop('big', None) and None") == []

    def test_a_cell_that_holds_on_is_ended(self, frontend):
        """G39: if MemoryError does not help, KernelOutOfMemory names the limit and the peak."""
        code = f"""
held = mmap.mmap(-1, {(LIMIT + 60) * MIB})
try:
    for at in range(0, len(held), mmap.PAGESIZE): held[at] = 1
    time.sleep(1000)
except MemoryError:
    print('told')
time.sleep(1000)
"""
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "told\n", parent)
        error = frontend.recv_crash(parent, "KernelOutOfMemory")
        assert f"{LIMIT} MiB" in error["evalue"]
        used = float(error["evalue"].partition("They used ")[2].partition(" MiB")[0])
        assert LIMIT < used < 1.6 * LIMIT
        assert frontend.run("1") == [("result", "1")]

    def test_a_cell_that_lets_go_goes_on(self, frontend):
        """G39: whoever catches the MemoryError and lets go of the memory ends well."""
        code = f"""
def fill():
    big = mmap.mmap(-1, {(LIMIT + 60) * MIB})
    for at in range(0, len(big), mmap.PAGESIZE): big[at] = 1
    time.sleep(1000)
try: fill()
except MemoryError: print('told')
time.sleep(2)  # longer than one that holds on would be given
"""
        assert frontend.run(code) == [("stdout", "told\n")]
        assert_intact(frontend)


class TestNearTheLimit:
    def test_full_memory_can_be_let_go_of(self, frontend):
        """G39: `del` works when nothing is left, and so does the cell after it."""
        out = frontend.run("big = []\nwhile True: big.append(b'x' * 1_000_000)", "error")
        assert out == [("error", "MemoryError")]
        assert frontend.run("len(big) > 100") == [("result", "True")]
        assert frontend.run("print('x' * 100_000)") == [("stdout", "x" * 100_000 + "\n")]
        assert frontend.run("1/0", "error") == [("error", "ZeroDivisionError")]
        assert frontend.run("del big") == []
        assert frontend.run("big = np.ones(5_000_000); del big") == []

    def test_cells_in_small_steps_do_not_pass_it(self, frontend):
        """G39: what each short cell gets beyond the limit does not add up.

        A cell that is over at once is not watched; each used to get 32 MiB more than there were.
        """
        assert frontend.run("big = []") == []
        for _ in range(120):
            parent = frontend.execute("big.append(b'x' * (6 << 20))")
            frontend.recv_busy(parent)
            messages = frontend.recv_until_idle(parent)
            if frontend.recv("shell", "execute_reply", parent).content["status"] == "error":
                break
        else:
            pytest.fail(f"{120 * 6} MiB were to be had")
        assert [message.entry for message in messages[1:]] == [("error", "MemoryError")]
        assert_intact(frontend)
        assert frontend.run("del big") == []

    def test_the_error_of_a_full_memory_is_shown_whole(self, frontend):
        """G39: the watcher does not interrupt the showing of the error, which takes long."""
        for _ in range(5):
            frontend.run("big = []\nwhile True: big.append(b'x' * 1_000_000)", "error")
            # In what is left over beyond the limit:
            out = frontend.run("while True: big.append(b'x' * 1_000_000)", "error")
            assert out == [("error", "MemoryError")]
            assert "big.append" in "\n".join(out.reply["traceback"])
            assert frontend.run("del big") == []

    def test_what_was_let_go_of_can_be_had_again(self, frontend):
        """G39: after `del`, the room is there for large things as for small ones.

        Blocks of middling size leave holes in the C library's heap, which the system counts.
        """
        for _ in range(3):
            frontend.run("big = []\nwhile True: big.append(b'x' * 1_000_000)", "error")
            assert frontend.run("del big") == []
        assert frontend.run(f"big = np.ones({LIMIT // 3} << 17); len(big)") == [
            ("result", str(LIMIT // 3 << 17))
        ]
        assert frontend.run("del big") == []

    def test_it_holds_again_after_an_error_was_shown(self, frontend):
        """G39: showing an error in the middle of a cell (IPython does, for a repr that fails)."""
        code = """
class Odd:
    def _repr_html_(self): 1/0
display(Odd())
big = np.ones(100_000_000)
"""
        out = frontend.run(code, "error")
        assert [entry for entry in out if entry[0] == "error"] == [
            ("error", "ZeroDivisionError"),
            ("error", "MemoryError"),
        ]
        assert_intact(frontend)

    def test_threads_bring_their_stacks(self, frontend):
        """G39: threads that use next to nothing are not refused: their stacks are only reserved."""
        code = """
gate = threading.Event()
threads = [threading.Thread(target=gate.wait) for _ in range(100)]
try:
    for thread in threads: thread.start()
finally:
    gate.set()
    for thread in threads: thread.join()
"""
        assert frontend.run(code) == []

    def test_programs_do_not_inherit_it(self, frontend):
        """G39: the limit is for all together; a program has the limit that the kernel was given."""
        code = "import resource; print(resource.getrlimit(resource.RLIMIT_DATA)[0])"
        ours = frontend.run("import resource; resource.getrlimit(resource.RLIMIT_DATA)[0] > 0")
        assert ours == [("result", "True")]
        run = (
            f"print(subprocess.run([sys.executable, '-c', {code!r}], stdout=-1, text=True).stdout)"
        )
        assert frontend.run(run) == [("stdout", "-1\n\n")]
        spawn = (
            f"pid = os.posix_spawn(sys.executable, [sys.executable, '-c', {code!r}], os.environ);"
            "_ = os.waitpid(pid, 0)"
        )
        assert frontend.run(spawn) == [("stdout", "-1\n")]
        fork = f"""
if not (child := os.fork()):
    {code}
    os._exit(0)
_ = os.waitpid(child, 0)
"""
        assert frontend.run(fork) == [("stdout", "-1\n")]

    def test_a_monkeypatch_of_the_user_s_stays(self, frontend):
        """The user's own patch of how programs are started is called, and can be taken away."""
        code = """
ours, calls = subprocess._fork_exec, []
def theirs(*args):
    calls.append(args[0])
    return ours(*args)
subprocess._fork_exec = theirs
# A folder of its own keeps subprocess from starting it in another way.
try: subprocess.run(['true'], check=True, cwd='.')
finally: subprocess._fork_exec = ours
subprocess.run(['true'], check=True, cwd='.')
len(calls)
"""
        assert frontend.run(code) == [("result", "1")]


class TestOfWhomTheSystemTakesFirst:
    def test_it_is_the_worker(self, frontend):
        """G39: where memory runs out for all, supervisor and zygote are never the victim."""
        supervisor, zygote, worker = (process.pid for process in frontend.kernel.family())
        assert worker == frontend.worker_pid()

        def score(pid):
            return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

        assert score(supervisor) == score(zygote) == score(os.getpid())
        assert score(worker) > score(supervisor)
