"""usage_request (G36): answered whatever the kernel does, in the form that the panel reads."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from statistics import quantiles

import psutil
import pytest
from bulkhead_kernel.supervisor.family import Use
from bulkhead_kernel.supervisor.usage import Cell, Readings, Status, content
from frontend import Gate

PANEL = {
    "hostname": str,
    "pid": int,
    "kernel_cpu": float,
    "kernel_memory": int,
    "host_cpu_percent": float,
    "cpu_count": int,
    "host_virtual_memory": dict,
}
"""What jupyter-resource-usage reads, and of which kind."""
HOST = {"active", "available", "free", "inactive", "percent", "total", "used"}
MB = 1_000_000
SETUP = "import ctypes, os, signal, subprocess, sys, time"


@pytest.fixture(autouse=True)
def _setup(request):
    if "frontend" in request.fixturenames:
        assert request.getfixturevalue("frontend").run(SETUP) == []


def usage(frontend):
    """Ask what the kernel uses; nothing is published for that."""
    parent = frontend.send("control", "usage_request")
    return frontend.recv("control", "usage_reply", parent).content


class TestContent:
    def test_without_a_worker_it_says_so(self):
        """G36: 'no worker' rather than failing."""
        readings = Readings("h", 1, 0.0, 5, 0.0, 2, {"total": 9}, 3.0)
        told = content(Status("broken", 3, None, {"KernelExited": 3}), readings, 0)
        ours = told["bulkhead"]
        assert {name: told[name] for name in PANEL} == {
            "hostname": "h",
            "pid": 1,
            "kernel_cpu": 0.0,
            "kernel_memory": 5,
            "host_cpu_percent": 0.0,
            "cpu_count": 2,
            "host_virtual_memory": {"total": 9},
        }
        assert (ours["state"], ours["worker_pid"], ours["cell"]) == ("broken", None, None)
        assert (ours["memory"], ours["children"], ours["threads"]) == (0, 0, 0)
        assert ours["restarts"] == {"KernelExited": 3}
        assert ours["limit"] is None

    def test_with_one_it_is_all_there(self):
        """G36: peak, limit, swap, threads, children, the running cell."""
        use = Use(10, 20, 30, 40, 50, 6.0, 70, 8, 9)
        cell = Cell(4, 2.5)
        readings = Readings("h", 1, 0.0, 5, 0.0, 2, {}, 3.0, 2.0, use, 77, cell, "unix:/m")
        ours = content(Status("busy", 1, None), readings, 99)["bulkhead"]
        assert ours["cell"] == {"execution_count": 4, "seconds": 2.5}
        names = ("memory", "resident", "swap", "cpu", "peak", "threads", "children", "limit")
        assert [ours[name] for name in names] == [10, 20, 50, 6.0, 77, 8, 9, 99]
        assert (ours["worker_uptime"], ours["metrics"]) == (2.0, "unix:/m")


class TestStates:
    def test_idle(self, frontend):
        """G36: the shape that jupyter-resource-usage reads, and nothing on IOPub."""
        worker = frontend.worker_pid()
        told = usage(frontend)
        for name, kind in PANEL.items():
            assert type(told[name]) is kind, name
        assert set(told["host_virtual_memory"]) >= HOST
        assert told["hostname"] == socket.gethostname()
        assert told["pid"] == frontend.kernel.pid
        assert told["cpu_count"] == psutil.cpu_count()
        ours = told["bulkhead"]
        assert (ours["state"], ours["worker_pid"], ours["cell"]) == ("idle", worker, None)
        assert 0 < ours["memory"] <= ours["resident"]
        assert ours["memory"] < told["kernel_memory"]
        assert ours["peak"] >= ours["resident"]
        frontend.assert_silent()

    def test_memory_is_shared_out(self, frontend):
        """G36: proportional memory of supervisor, zygote and worker, as the system counts it."""
        told = usage(frontend)
        pss = sum(process.memory_full_info().pss for process in frontend.kernel.family())
        assert told["kernel_memory"] == pytest.approx(pss, rel=0.1)

    def test_while_a_cell_runs(self, frontend, tmp_path):
        """G36: the cell that runs, since when, and what it has taken."""
        gate = Gate(tmp_path)
        parent = frontend.execute(f"big = bytearray({100 * MB}); print('held'); {gate.wait}")
        frontend.recv_busy(parent)
        count = frontend.recv_input(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        first, second = usage(frontend)["bulkhead"], usage(frontend)["bulkhead"]
        assert first["state"] == "busy"
        assert first["cell"]["execution_count"] == count
        assert 0 < first["cell"]["seconds"] <= second["cell"]["seconds"] < 60
        assert first["memory"] > 100 * MB
        gate.open()
        frontend.recv_result(parent, "''")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)
        frontend.run("del big")

    def test_while_native_code_holds_the_gil(self, frontend):
        """G36: answered from outside; 200 questions, of which 99 % within 50 ms (the issue's)."""
        parent = frontend.execute("print('held'); ctypes.PyDLL(None).usleep(60_000_000)")
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        took = []
        for _ in range(200):
            began = time.monotonic()
            assert usage(frontend)["bulkhead"]["state"] == "busy"
            took.append(time.monotonic() - began)
        assert not frontend.sockets["iopub"].poll(0), "the cell was over too soon to show it"
        os.kill(frontend.kernel.family()[-1].pid, signal.SIGINT)
        frontend.recv_error(parent, "KeyboardInterrupt")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")
        assert quantiles(took, n=100)[-1] < 0.05

    def test_while_starting(self, launch, tmp_path):
        """G36: before the first worker has said hello."""
        gate = Gate(tmp_path)
        startup = tmp_path / "kernel-0" / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "wait.py").write_text(gate.wait)
        frontend = launch()
        told = usage(frontend)["bulkhead"]
        assert (told["state"], told["cell"]) == ("starting", None)
        gate.open()
        assert frontend.run("1") == [("result", "1")]
        assert usage(frontend)["bulkhead"]["state"] == "idle"

    def test_with_no_worker(self, launch, tmp_path):
        """G36: after three stillborn workers: 'broken', not an error; the deaths are counted."""
        startup = tmp_path / "kernel-0" / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "die.py").write_text("import os; os._exit(7)")
        frontend = launch()
        parent = frontend.execute("1")
        while frontend.recv("iopub").entry != ("status", "idle"):
            pass
        frontend.recv_reply(parent, "error")
        told = usage(frontend)
        ours = told["bulkhead"]
        assert (ours["state"], ours["worker_pid"], ours["memory"]) == ("broken", None, 0)
        assert ours["restarts"] == {"KernelExited": 3}
        assert told["kernel_memory"] > 0
        frontend.give_up()


class TestWhatIsCounted:
    def test_children(self, frontend):
        """G36: processes that the user's code has started, and theirs."""
        before = usage(frontend)["bulkhead"]
        code = f"""
child = '''
import subprocess, sys, time
big = b"x" * {80 * MB}
code = 'import sys; print("held", flush=True); sys.stdin.read()'
child = subprocess.Popen([sys.executable, '-c', code])
child.wait()
'''
process = subprocess.Popen([sys.executable, '-c', child], stdin=-1, stdout=-1, text=True)
process.stdout.readline()
"""
        assert frontend.run(code) == [("result", "'held\\n'")]
        parent = frontend.execute("time.sleep(0.5)")  # something is looked at: they are found
        frontend.finish(parent)
        after = usage(frontend)["bulkhead"]
        assert after["children"] - before["children"] == 2
        assert after["memory"] - before["memory"] > 80 * MB
        assert frontend.run("_ = process.communicate('')") == []
        assert frontend.run("time.sleep(0.5)") == []
        assert usage(frontend)["bulkhead"]["children"] == before["children"]

    def test_processor_use(self, frontend):
        """G36: percent of one processor, over the last while."""
        parent = frontend.execute("print('held')\nwhile time.process_time() < 3e3: pass")
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        worker = psutil.Process(frontend.kernel.family()[-1].pid)
        began = sum(worker.cpu_times()[:2])
        while sum(worker.cpu_times()[:2]) < began + 1:  # until it has worked for a second
            usage(frontend)
        assert 10 < usage(frontend)["kernel_cpu"] < 250
        os.kill(worker.pid, signal.SIGINT)
        frontend.recv_error(parent, "KeyboardInterrupt")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")

    def test_cells_deaths_and_interrupts(self, fresh):
        """G36: cells by outcome, deaths by name; a new worker goes on counting."""
        assert fresh.run("1") == [("result", "1")]
        fresh.run("1/0", "error")
        gate_before = usage(fresh)["bulkhead"]
        assert gate_before["cells"] == {"ok": 1, "error": 1, "aborted": 0}
        parent = fresh.execute("import os; os._exit(3)")
        fresh.recv_begin(parent)
        fresh.recv_crash(parent, "KernelExited")
        assert fresh.run("2") == [("result", "2")]
        ours = usage(fresh)["bulkhead"]
        assert ours["cells"] == {"ok": 2, "error": 2, "aborted": 0}
        assert ours["restarts"] == {"KernelExited": 1}
        assert ours["generation"] == gate_before["generation"] + 1
        assert ours["worker_uptime"] < gate_before["uptime"] + ours["uptime"]

    def test_generations_leave_no_descriptors(self, fresh):
        """A long-lived kernel whose workers die keeps nothing of them."""

        def descriptors():
            usage(fresh)
            pids = [process.pid for process in fresh.kernel.family()]
            return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids]

        def die():
            parent = fresh.execute("import time; time.sleep(0.1); import os; os._exit(3)")
            fresh.recv_begin(parent)
            fresh.recv_crash(parent, "KernelExited")
            assert fresh.run("1") == [("result", "1")]

        for _ in range(2):
            die()
        before = descriptors()
        for _ in range(6):
            die()
        # One worker may still be known to somebody: a timer, or the last question.
        assert all(now <= then + 2 for now, then in zip(descriptors(), before, strict=True))

    def test_a_worker_that_dies_while_it_is_looked_at(self, fresh):
        """G36: questions all through deaths and starts: each is answered, in order."""
        for _ in range(4):
            asked = [fresh.send("control", "usage_request") for _ in range(10)]
            parent = fresh.execute("import os; os.kill(os.getpid(), 9)")
            asked += [fresh.send("control", "usage_request") for _ in range(40)]
            fresh.recv_begin(parent)
            for each in asked:
                told = fresh.recv("control", "usage_reply", each).content
                states = ("starting", "idle", "busy", "none")
                assert told["bulkhead"]["state"] in states
            fresh.recv_crash(parent, "KernelKilled")
            assert fresh.run("1") == [("result", "1")]


def switches(frontend):
    """Voluntary context switches of each thread: how often it woke up, and went back to sleep."""
    found = {}
    for process in frontend.kernel.family():
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            status = dict(
                line.split(":\t", 1) for line in (thread / "status").read_text().splitlines()
            )
            found[process.pid, int(thread.name)] = int(status["voluntary_ctxt_switches"])
    return found


@pytest.mark.parametrize("options", [(), ("--memory-limit=1GiB",), ("--metrics=127.0.0.1:0",)])
def test_idle_is_silent(launch, options):
    """G37: no thread of any process wakes up, and nothing is published, with whatever option."""
    frontend = launch(options=list(options))
    frontend.run("import time; time.sleep(0.3)")
    usage(frontend)
    frontend.settle()
    # What was put off is done: history is written, and Monitor has looked once more at the cell.
    time.sleep(5)
    before = switches(frontend)
    time.sleep(3)
    after = switches(frontend)
    assert {key: after[key] - before[key] for key in before} == dict.fromkeys(before, 0)
    assert len(before) >= 8
    frontend.assert_silent()
