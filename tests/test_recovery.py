"""The variables after a crash (G41, G42), with a real worker and its real snapshots.

With ``--recover=on`` a snapshot is made before the next request begins. So a cell that crashes the
interpreter finds everything before it in a snapshot, without anybody's having waited.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest
from frontend import Gate, wait_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="snapshots need Linux")

KERNEL = {"options": ("--recover=on",)}
SEGFAULT = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
STUCK = "import itertools; print('held'); max(itertools.repeat(1))"


def crash(frontend, code=SEGFAULT, ename="KernelSegfault"):
    """Run a cell that ends the interpreter; give what is told, as one text."""
    parent = frontend.execute(code)
    frontend.recv_begin(parent)
    return told(frontend.recv_crash(parent, ename))


def told(error):
    return " ".join(" ".join(error["traceback"]).split())


def value(frontend, expression):
    """Give the result of an expression, as its repr."""
    ((kind, text),) = frontend.run(expression)
    assert kind == "result"
    return text


def recovery(frontend):
    """Give what the supervisor knows of snapshots, which changes nothing."""
    asked = frontend.send("control", "usage_request")
    return frontend.recv("control", "usage_reply", asked).content["bulkhead"]["recovery"]


def snapshots(frontend):
    """Give the process ids of snapshots that there are."""
    found = []
    for child in psutil.Process(frontend.worker_pid()).children():
        with suppress(psutil.NoSuchProcess):
            if child.name() == "bulkhead-parked" and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child.pid)
    return found


class TestTheVariables:
    def test_are_as_they_were_after_the_last_completed_cell(self, frontend):
        """G41: also what cannot be serialized, and what shares parts with others."""
        frontend.run("a = [1]; b = {'a': a}; g = (i * i for i in range(9)); next(g), next(g)")
        frontend.run("def f(x): return x + len(a)\na.append(2)")
        text = crash(frontend)
        assert "They are as they were after" not in text
        assert "Its variables are back: they are as they were after In [" in text
        assert "Nothing was run again" in text
        assert value(frontend, "b['a'] is a, a, f(1), next(g)") == "(True, [1, 2], 3, 4)"

    def test_what_the_fatal_cell_did_is_undone(self, frontend):
        """G41: the end of the last completed cell, and not the middle of this one."""
        frontend.run("done = ['before']")
        crash(frontend, "done.append('half'); fresh = 1\n" + SEGFAULT)
        assert value(frontend, "done, 'fresh' in globals()") == "(['before'], False)"

    def test_nothing_is_run_again(self, frontend, tmp_path):
        """G41: each cell has written its line once."""
        log = tmp_path / "log"
        for name in ("one", "two"):
            frontend.run(f"with open({str(log)!r}, 'a') as file: print({name!r}, file=file)")
        crash(frontend, f"print('three', file=open({str(log)!r}, 'a'), flush=True)\n" + SEGFAULT)
        assert frontend.run("1") == [("result", "1")]
        assert log.read_text() == "one\ntwo\nthree\n"

    def test_execution_counts_go_on(self, frontend):
        """G41: no two cells bear the same number; In and Out know the earlier ones."""
        first = frontend.execute("'kept'")
        frontend.recv_busy(first)
        count = frontend.recv_input(first)
        frontend.recv_result(first, "'kept'")
        frontend.recv_idle(first)
        frontend.recv_reply(first)
        crash(frontend)
        after = frontend.execute(f"Out[{count}], In[{count}]")
        frontend.recv_busy(after)
        assert frontend.recv_input(after) == count + 2
        frontend.recv_result(after, "('kept', \"'kept'\")")
        frontend.recv_idle(after)
        frontend.recv_reply(after)

    def test_come_back_as_often_as_it_crashes(self, frontend):
        """G41: a restored interpreter has a snapshot of its own before it runs anything."""
        frontend.run("lives = [0]")
        for i in range(8):
            crash(frontend)
            assert value(frontend, "lives") == str([*range(i + 1)])
            frontend.run(f"lives.append({i + 1})")

    def test_are_there_after_a_death_between_requests(self, frontend):
        """G22, G41: nobody's cell has failed; the next one finds everything."""
        frontend.run("x = 1")
        pid = frontend.worker_pid()
        frontend.run("x = 2")
        frontend.run("pass")  # before which the newest snapshot was made
        os.kill(pid, signal.SIGKILL)
        message = frontend.recv("iopub", "stream", None)
        assert "Its variables are" in " ".join(message.content["text"].split())
        assert value(frontend, "x") == "2"

    def test_are_told_by_the_cells_that_are_lost(self, launch):
        """G41, G42: an older snapshot is better than none, and what it lacks is told by number."""
        fresh = launch(options=("--recover=on",))
        fresh.run("x = 1")
        fresh.run("import threading, itertools\nx = 2\ngo_on = True")
        fresh.run(
            "def busy():\n    while go_on: sum(range(1000))\n"
            "thread = threading.Thread(target=busy, daemon=True); thread.start(); x = 3"
        )
        fresh.run("x = 4")
        text = crash(fresh)
        assert "Its variables are as they were after In [2]." in text
        assert "what In [3] to [4] did to them is lost" in text
        assert value(fresh, "x") == "2"

    def test_are_told_by_the_cells_that_are_lost_between_requests(self, launch):
        """G22, G41: whether or not a cell runs when the interpreter dies; who is not counted is
        not among them.
        """
        fresh = launch(options=("--recover=on",))
        pid = fresh.worker_pid()
        fresh.run(
            "def busy():\n    while True: sum(range(1000))\n"
            "import threading; thread = threading.Thread(target=busy, daemon=True); x = 2"
        )
        fresh.run("thread.start(); x = 3")
        fresh.run("x = 4")
        fresh.run("")
        fresh.run("x", silent=True)
        os.kill(pid, signal.SIGKILL)
        text = " ".join(fresh.recv("iopub", "stream", None).content["text"].split())
        assert "Its variables are as they were after In [2]." in text
        assert "what In [3] to [4] did to them is lost" in text
        after = fresh.execute("x")
        fresh.recv_busy(after)
        assert fresh.recv_input(after) == 5
        fresh.recv_result(after, "2")
        fresh.recv_idle(after)
        fresh.recv_reply(after)

    def test_queued_cells_are_aborted_and_the_next_finds_the_variables(self, frontend):
        """G21, G41."""
        frontend.run("x = 'kept'")
        parent = frontend.execute(SEGFAULT)
        queued = [frontend.execute("x = 'wrong'") for _ in range(3)]
        frontend.recv_begin(parent)
        error = frontend.recv_error(parent, "KernelSegfault")
        assert "3 cells that were waiting will not be run." in told(error)
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")
        for cell in queued:
            frontend.recv_aborted(cell)
        assert value(frontend, "x") == "'kept'"

    def test_survive_native_code_that_does_not_listen(self, launch):
        """G41, issue B: the second interrupt ends the interpreter, and costs one cell's work."""
        fresh = launch(options=("--recover=on", "--interrupt-stuck-after=0.2"))
        fresh.run("x = 'kept'")
        parent = fresh.execute(STUCK)
        fresh.recv_begin(parent)
        fresh.recv_stream("stdout", "held\n", parent)
        first = fresh.interrupt()
        fresh.recv_busy(first)
        fresh.recv_idle(first)
        fresh.recv_reply(first, msg_type="interrupt_reply", channel="control")
        remark = fresh.recv("iopub", "stream", parent).content["text"]
        assert "its variables are then as they were after In [1]" in remark
        second = fresh.interrupt()
        fresh.recv_busy(second)
        fresh.recv_idle(second)
        fresh.recv_reply(second, msg_type="interrupt_reply", channel="control")
        text = told(fresh.recv_crash(parent, "KernelInterrupted"))
        assert "Its variables are back: they are as they were after In [1]." in text
        assert value(fresh, "x") == "'kept'"


class TestWhatIsNotRestored:
    def test_who_leaves_wants_to_begin_anew(self, frontend):
        """G42: exit() is a wish, and no crash."""
        frontend.run("x = 1")
        frontend.run("exit()")
        assert value(frontend, "'x' in globals()") == "False"

    def test_an_interpreter_that_dies_of_its_variables_is_given_up(self, launch):
        """G42: restored twice, dead twice without a cell that succeeded: fresh, with the reason."""
        fresh = launch(options=("--recover=on",))
        fresh.run("x = 1")
        crash(fresh)
        assert "Its variables are back" in crash(fresh)
        text = crash(fresh)
        assert "Its variables are gone." in text
        assert "restored interpreter died 2 times running" in text
        assert value(fresh, "'x' in globals()") == "False"

    def test_a_snapshot_that_is_gone(self, frontend):
        """G42: somebody killed it; a fresh start, and why."""
        frontend.run("x = 1")
        code = (
            "import os, psutil, signal\n"
            "for child in psutil.Process().children():\n"
            "    if child.name() == 'bulkhead-parked': child.kill(); child.wait()\n" + SEGFAULT
        )
        text = crash(frontend, code)
        assert "Its variables are gone." in text
        assert "They could not be restored: its snapshot was gone" in text
        assert value(frontend, "'x' in globals()") == "False"

    @pytest.mark.parametrize(
        ("what", "why"),
        [
            ("os._exit(3)", "died while it woke up"),
            ("os.kill(os.getpid(), 11)", "died while it woke up"),
            ("import time; time.sleep(600)", "did not wake up in 3 s"),
        ],
    )
    def test_a_snapshot_that_does_not_prove_itself(self, launch, what, why):
        """G42: never 'restored' when one check failed, and never a hang."""
        fresh = launch(options=("--recover=on",))
        fresh.logs_errors = True
        fresh.run(
            "import os\nfrom bulkhead_kernel.worker.recovery import canary\n"
            f"def check():\n    {what}\ncanary.check = check"
        )
        text = crash(fresh)
        assert "Its variables are gone." in text
        assert why in text
        assert value(fresh, "'check' in globals()") == "False"

    def test_a_snapshot_that_dies_while_it_is_made(self, launch):
        """G42: the worker lives, and what cannot be restored is told."""
        fresh = launch(options=("--recover=on",))
        fresh.run(
            "import os\nfrom bulkhead_kernel.worker.recovery import descriptors\n"
            "descriptors.part = lambda *_: os._exit(3)"
        )
        fresh.run("x = 1")
        assert "a snapshot ended while it was made" in crash(fresh)
        assert fresh.run("1") == [("result", "1")]

    def test_a_worker_that_dies_while_a_snapshot_is_made(self, launch):
        """G42: the older one takes its place."""
        fresh = launch(options=("--recover=on",))
        fresh.run("x = 1")
        fresh.run(
            "import os, signal\nfrom bulkhead_kernel.worker.recovery import descriptors\n"
            "descriptors.part = lambda *_: os.kill(os.getppid(), signal.SIGKILL)\nx = 2"
        )
        parent = fresh.execute("x = 3")
        fresh.recv_obituary("KernelKilled")
        assert fresh.finish(parent) == []
        assert value(fresh, "x") == "3"


class TestComms:
    def test_live_on_at_both_ends(self, frontend):
        """G41, G17: what was open is open in the worker and in comm_info."""
        frontend.run(
            "from comm import create_comm\nheard = []\n"
            "c = create_comm(target_name='t', comm_id='kept')\n"
            "c.on_msg(lambda m: (heard.append(m['content']['data']), c.send({'n': len(heard)})))"
        )
        crash(frontend)
        assert frontend.request("comm_info_request")["comms"] == {"kept": {"target_name": "t"}}
        parent = frontend.send("shell", "comm_msg", {"comm_id": "kept", "data": "hello"})
        frontend.recv_busy(parent)
        message = frontend.recv("iopub", "comm_msg", parent)
        assert message.content == {"comm_id": "kept", "data": {"n": 1}}
        frontend.recv_idle(parent)
        assert value(frontend, "heard") == "['hello']"
        assert frontend.run("c.close()") == [("comm_close", {})]

    def test_of_the_fatal_cell_are_closed(self, frontend):
        """G17: the restored interpreter never heard of them."""
        frontend.run("from comm import create_comm")
        parent = frontend.execute("d = create_comm(target_name='t', comm_id='lost')\n" + SEGFAULT)
        frontend.recv_begin(parent)
        frontend.recv("iopub", "comm_open", parent)
        frontend.recv_crash(parent, "KernelSegfault")
        frontend.recv_closed_comms(["lost"])
        assert frontend.request("comm_info_request")["comms"] == {}

    def test_that_were_closed_since_say_nothing(self, frontend):
        """G13: comm_close was the last word."""
        frontend.run("from comm import create_comm\nc = create_comm(target_name='t', comm_id='c')")
        parent = frontend.execute("c.close()\n" + SEGFAULT)
        frontend.recv_begin(parent)
        frontend.recv("iopub", "comm_close", parent)
        frontend.recv_crash(parent, "KernelSegfault")
        assert frontend.run("c.send({'from': 'the dead'})") == []


class TestTheProcesses:
    def test_one_snapshot_is_kept(self, frontend):
        """G41: a newer one takes the place of the older one, which ends."""
        for i in range(5):
            frontend.run(f"x = {i}")
        old = snapshots(frontend)
        assert old
        frontend.run("x = 5")
        new = snapshots(frontend)
        assert all(wait_gone(pid, 5) for pid in set(old) - set(new[-1:]))
        assert not wait_gone(new[-1], 0)

    def test_nothing_stays_after_a_shutdown(self, launch):
        """G31: no process of ours remains, parked ones included."""
        fresh = launch(options=("--recover=on",))
        fresh.run("x = 1")
        pids = snapshots(fresh)
        assert pids
        fresh.finish_kernel()
        assert all(wait_gone(pid, 1) for pid in pids)

    def test_nothing_stays_when_the_supervisor_is_killed(self, launch):
        """G32: a snapshot that is parked ends within a second."""
        fresh = launch(options=("--recover=on",))
        fresh.run("x = 1")
        pids = snapshots(fresh)
        assert pids
        os.kill(fresh.kernel.pid, signal.SIGKILL)
        assert fresh.kernel.wait() == -signal.SIGKILL
        assert all(wait_gone(pid, 1) for pid in pids)
        fresh.end(exit_code=-signal.SIGKILL)

    def test_waiting_for_any_child_does_not_find_them(self, frontend):
        """G38: os.wait() raises when there is no child of the user's."""
        frontend.run("import os, subprocess, sys")
        for call in ("os.wait()", "os.waitpid(-1, 0)", "os.waitid(os.P_ALL, 0, os.WEXITED)"):
            assert ("error", "ChildProcessError") in frontend.run(call, "error")
            assert frontend.run("child = os.posix_spawn('/bin/true', ['true'], {})") == []
            assert value(frontend, f"child in tuple({call})") == "True"

    def test_a_process_that_the_users_code_forks_is_no_part_of_it(self, frontend):
        """G38: its end is no death, and it makes no snapshots."""
        frontend.run("import os")
        frontend.run("pid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)[1]")
        assert "Its variables are back" in crash(frontend)

    def test_orphans_are_reaped(self, frontend):
        """G38: what a child leaves behind is the zygote's, which lets it go at its end."""
        frontend.run("import os, subprocess")
        code = "subprocess.run(['sh', '-c', 'setsid sleep 0.05 & echo $!'], capture_output=True)"
        pid = int(value(frontend, f"int({code}.stdout)"))
        assert wait_gone(pid, 5)
        zygote = psutil.Process(frontend.worker_pid()).parent()
        # Its end is a signal to the zygote, which sees to it as soon as it is given the processor.
        turns = (frontend.run("1") for _ in range(100))
        assert any(pid not in [child.pid for child in zygote.children()] for _ in turns)

    def test_many_crashes_leave_nothing_behind(self, launch):
        """G41: no process, descriptor or thread more after 40 of them."""
        fresh = launch(options=("--recover=on",))
        fresh.run("x = bytearray(1 << 20)")
        supervisor = psutil.Process(fresh.kernel.process.pid)

        def count():
            fresh.run("pass")
            fresh.request("kernel_info_request", channel="control")  # it has heard of the snapshot
            return supervisor.num_fds(), supervisor.num_threads(), len(supervisor.children())

        for i in range(40):
            crash(fresh)
            assert value(fresh, "len(x)") == str(1 << 20)
            if i == 1:
                before = count()
        assert any(count() == before for _ in range(20))  # several threads close what was left


class TestOnDemand:
    def test_off_means_that_nothing_is_forked(self, launch):
        """G42: and a crash says nothing of snapshots."""
        fresh = launch(options=("--recover=off",))
        fresh.run("x = 1")
        assert snapshots(fresh) == []
        text = crash(fresh)
        assert "Its variables are gone." in text
        assert "restored" not in text

    def test_the_magic_tells_and_switches(self, launch):
        """G42: whether, why not, what it costs."""
        fresh = launch(options=("--recover=off",))
        ((_, text),) = fresh.run("%recovery")
        assert text == "Recovery is off.\nA crash loses all variables. Next: %recovery auto\n"
        fresh.run("x = 1")
        fresh.run("%recovery on")
        fresh.run("pass")
        ((_, text),) = fresh.run("%recovery status")
        assert "Recovery is on, after every cell." in text
        assert "A crash now would leave your variables as they were after In [4]." in text
        assert "snapshots took" in text
        assert "Its variables are back" in crash(fresh)
        pids = snapshots(fresh)
        ((_, text),) = fresh.run("%recovery off")
        assert "Recovery is off." in text
        assert pids
        assert all(wait_gone(pid, 5) for pid in pids)
        assert "They could not be restored: it was switched off" in crash(fresh)
        ((stream, text),) = fresh.run("%recovery maybe", "error")
        assert (stream, text.split(",")[0]) == ("stderr", "UsageError: %recovery knows: status")

    def test_usage_tells(self, frontend):
        """G36: what a crash would leave, and what the snapshots hold."""
        frontend.run("x = bytearray(1 << 20)")
        frontend.run("pass")
        asked = frontend.send("control", "usage_request")
        content = frontend.recv("control", "usage_reply", asked).content["bulkhead"]
        known = content["recovery"]
        assert known["state"] == "restorable"
        assert known["execution_count"] >= 1
        assert 0 < content["snapshots"] < 1 << 26
        assert content["children"] == 0

    def test_silent_requests_make_none(self, launch, tmp_path):
        """G41: a client that looks around after each cell costs nothing."""
        fresh = launch(options=("--recover=on",))
        fresh.run("x = 1")
        fresh.run("s = get_ipython().snapshots.budget")
        taken = int(value(fresh, "s.taken"))
        for _ in range(5):
            fresh.run("x", silent=True)
        assert int(value(fresh, "s.taken")) == taken + 1  # for the cell that asked before

    def test_a_queue_of_short_cells_makes_none(self, launch):
        """G41: in a queue a snapshot has to be earned."""
        fresh = launch(options=("--recover=auto",))
        cells = [fresh.execute("pass") for _ in range(50)]
        for cell in cells:
            fresh.finish(cell)
        assert int(value(fresh, "get_ipython().snapshots.budget.taken")) <= 1

    def test_a_quiet_kernel_makes_one_by_itself(self, launch, tmp_path):
        """G41: and tells so; who asks hears of it without waiting for a cell."""
        fresh = launch(options=("--recover=auto",))
        gate = Gate(tmp_path)
        reading = threading.Thread(target=gate.path.read_bytes)
        reading.start()
        # The snapshot itself says when it is there: it runs this hook.
        fresh.run(
            "import os\nfrom bulkhead_kernel.worker.recovery import parked\n"
            "receive = parked.receive\ndef receive_and_tell(*args):\n"
            f"    try: os.close(os.open({str(gate.path)!r}, os.O_WRONLY | os.O_NONBLOCK))\n"
            "    except OSError: pass\n    return receive(*args)\n"
            "parked.receive = receive_and_tell\nx = 'kept'"
        )
        reading.join()
        assert "they are as they were after In [1]" in crash(fresh)
        assert value(fresh, "x") == "'kept'"

    def test_a_tight_memory_limit_forbids_them(self, launch):
        """G39, G42: both together could take twice as much."""
        fresh = launch(options=("--recover=on", "--memory-limit=600MiB"))
        fresh.run("x = bytearray(400 << 20)")
        text = crash(fresh)
        assert "uses more than half of its memory limit" in text

    def test_a_cell_that_needs_the_memory_gets_it(self, launch):
        """G39: what the worker let go of is still in the snapshot, which has to go."""
        fresh = launch(options=("--recover=on", "--memory-limit=600MiB"))
        fresh.run("x = bytearray(250 << 20); x[::4096] = b'x' * len(x[::4096])")
        cell = (
            "import time\ndel x\ny = bytearray(450 << 20); y[::4096] = b'y' * len(y[::4096])\n"
            "while get_ipython().snapshots.exists: time.sleep(0.01)"
        )
        assert fresh.run(cell) == []
        assert value(fresh, "len(y) >> 20") == "450"

    def test_whose_snapshot_was_killed_says_what_is_known(self, launch):
        """G41: not that its memory was needed, which is another end."""
        fresh = launch(options=("--recover=auto",))
        fresh.run("x = 1")
        deadline = time.monotonic() + 60
        while not (known := recovery(fresh)) or known["execution_count"] != 1:
            assert time.monotonic() < deadline
        os.kill(known["snapshot_pid"], signal.SIGKILL)
        assert wait_gone(known["snapshot_pid"], 5)
        ((_, text),) = fresh.run("%recovery")
        assert text.splitlines()[1] == (
            "There is no snapshot now: it ended with signal 9, and it is not known who did that. "
            "One is made when a cell has ended."
        )
        fresh.run("%recovery off")
        ((_, text),) = fresh.run("%recovery auto")
        assert text.splitlines()[1] == (
            "There is no snapshot yet: one is made when a cell has ended."
        )

    def test_an_interpreter_that_ran_out_of_memory_comes_back(self, launch):
        """G39, G41: to let the snapshot go would not have been enough, and so it is there."""
        fresh = launch(options=("--recover=on", "--memory-limit=300MiB"))
        fresh.logs_errors = True
        fresh.run("import mmap, time; x = 'kept'")
        cell = (
            f"held = mmap.mmap(-1, {360 << 20})\n"
            "try:\n    for at in range(0, len(held), mmap.PAGESIZE): held[at] = 1\n"
            "    time.sleep(600)\nexcept MemoryError: print('told')\ntime.sleep(600)"
        )
        parent = fresh.execute(cell)
        fresh.recv_begin(parent)
        fresh.recv_stream("stdout", "told\n", parent)
        text = told(fresh.recv_crash(parent, "KernelOutOfMemory"))
        assert "Its variables are back: they are as they were after In [1]." in text
        assert value(fresh, "x") == "'kept'"
