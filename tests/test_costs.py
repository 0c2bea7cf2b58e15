"""What each cell used (G40): in the metadata of its reply, whatever became of it."""

from __future__ import annotations

import os
import signal
from statistics import median

import pytest
from frontend import Gate

MB = 1_000_000
FIELDS = {"wall", "cpu_user", "cpu_system", "cpu_children", "memory_peak", "memory_change"}
SETUP = """
import mmap, os, signal, subprocess, sys, threading, time
def spike(size, seconds):
    memory = mmap.mmap(-1, size)
    for at in range(0, size, mmap.PAGESIZE): memory[at] = 1
    time.sleep(seconds)
    memory.close()
def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass
"""


@pytest.fixture(autouse=True)
def _setup(request):
    if "frontend" in request.fixturenames:
        assert request.getfixturevalue("frontend").run(SETUP) == []


def costs(frontend, code, status="ok", **options):
    """Run a cell; give what its reply says it used."""
    parent = frontend.execute(code, **options)
    frontend.recv_busy(parent)
    frontend.recv_until_idle(parent)
    reply = frontend.recv("shell", "execute_reply", parent)
    assert reply.content["status"] == status, reply.content
    return reply.metadata.get("resources")


def cpu(used):
    return used["cpu_user"] + used["cpu_system"]


class TestMemory:
    def test_the_peak_of_a_spike_of_10_ms(self, frontend):
        """G40: 300 MB for 10 ms are seen, to 5 %; none of it is left."""
        before = costs(frontend, "pass")["memory_peak"]
        used = costs(frontend, f"spike({300 * MB}, 0.01)")
        assert used["memory_peak"] - before == pytest.approx(300 * MB, rel=0.05)
        assert abs(used["memory_change"]) < 5 * MB

    def test_a_peak_belongs_to_its_cell(self, frontend):
        """G40: the next cell begins anew."""
        before = costs(frontend, "pass")["memory_peak"]
        costs(frontend, f"spike({300 * MB}, 0)")
        assert costs(frontend, "pass")["memory_peak"] - before < 15 * MB

    def test_the_change_is_what_is_left(self, frontend):
        """G40: what a cell keeps, and what it lets go of."""
        keep = (
            f"kept = mmap.mmap(-1, {100 * MB})\nfor at in range(0, len(kept), 4096): kept[at] = 1"
        )
        assert costs(frontend, keep)["memory_change"] == pytest.approx(100 * MB, rel=0.05)
        assert costs(frontend, "kept.close()")["memory_change"] == pytest.approx(
            -100 * MB, rel=0.05
        )

    def test_children_are_part_of_the_peak(self, frontend):
        """G40: what a child held long enough to be seen from outside."""
        code = f"child = 'x = b\"y\" * {150 * MB}; import time; time.sleep(1)'\n"
        used = costs(frontend, f"{code}subprocess.run([sys.executable, '-c', child])")
        assert used["memory_peak"] > 150 * MB
        assert costs(frontend, "pass")["memory_peak"] < 150 * MB


class TestTime:
    def test_work_and_sleep(self, frontend):
        """G40: a loop uses the processor, a sleep does not; both take time."""
        work = costs(frontend, "spin(0.3)")
        assert 0.3 <= cpu(work) <= work["wall"] + 0.05
        assert 0.3 <= cpu(work) < 0.6
        sleep = costs(frontend, "time.sleep(0.3)")
        assert sleep["wall"] >= 0.3
        assert cpu(sleep) < 0.1
        assert work["cpu_children"] == sleep["cpu_children"] == 0

    def test_threads_count(self, frontend):
        """G40: the work of a cell's threads is the cell's."""
        code = "t = threading.Thread(target=spin, args=(0.3,)); t.start(); t.join()"
        assert cpu(costs(frontend, code)) >= 0.3

    def test_children_that_ended_count_by_themselves(self, frontend):
        """G40: processor time of children, once they were waited for."""
        child = "import time\nwhile time.process_time() < 0.3: pass"
        used = costs(frontend, f"subprocess.run([sys.executable, '-c', {child!r}])")
        assert used["cpu_children"] >= 0.3
        assert cpu(used) < 0.2
        assert costs(frontend, "pass")["cpu_children"] == 0


class TestEveryReply:
    @pytest.mark.parametrize(
        ("code", "status"),
        [("1", "ok"), ("1/0", "error"), ("x = (", "error"), ("", "ok"), ("await a()", "error")],
    )
    def test_carries_all_of_it(self, frontend, code, status):
        """G40: whether the cell succeeds, fails, is empty or awaits."""
        used = costs(frontend, code, status)
        assert set(used) == FIELDS
        assert used["wall"] > 0
        assert used["memory_peak"] > 10 * MB

    @pytest.mark.parametrize("options", [{"silent": True}, {"store_history": False}])
    def test_also_of_a_silent_execution(self, frontend, options):
        """G40: every execute_reply."""
        assert set(costs(frontend, "spin(0.1)", **options)) == FIELDS

    def test_also_of_an_interrupted_cell(self, frontend, tmp_path):
        """G40: what it had used until then."""
        parent = frontend.hold(Gate(tmp_path))
        os.kill(frontend.kernel.family()[-1].pid, signal.SIGINT)
        frontend.recv_error(parent, "KeyboardInterrupt")
        frontend.recv_idle(parent)
        reply = frontend.recv("shell", "execute_reply", parent)
        assert set(reply.metadata["resources"]) == FIELDS

    def test_no_other_reply_does(self, frontend):
        """G40 is about cells: a completion uses nothing of theirs."""
        parent = frontend.send("shell", "complete_request", {"code": "imp", "cursor_pos": 3})
        frontend.recv_busy(parent)
        frontend.recv_idle(parent)
        assert "resources" not in frontend.recv("shell", "complete_reply", parent).metadata

    @pytest.mark.parametrize("how", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
    def test_a_crashed_cell_s_does(self, frontend, how):
        """G40: a cell that did not live to tell: time, processor and peak are told for it."""
        frontend.run("spin(0.5)")
        code = f"spin(0.4); spike({200 * MB}, 0); time.sleep(0.2); {how}"
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_until_idle(parent)
        reply = frontend.recv("shell", "execute_reply", parent)
        used = reply.metadata["resources"]
        assert {"wall", "cpu_user", "cpu_system", "memory_peak"} <= set(used)
        assert used["wall"] >= 0.6
        assert 0.4 <= cpu(used) < 0.4 + 0.5
        assert used["memory_peak"] >= 200 * MB
        assert reply.metadata["status"] == "error"
        assert reply.metadata["started"]


class TestWhatIsNotItsOwn:
    def test_a_forked_child_changes_nothing(self, frontend):
        """G38, G40: one that comes back from the cell, and one that asks what was used."""
        before = costs(frontend, "pass")
        code = """
if not (child := os.fork()):
    spin(0.1); get_ipython().run_line_magic('resources', '')
else:
    _ = os.waitpid(child, 0)
"""
        used = costs(frontend, code)
        assert used["cpu_children"] >= 0.1
        assert cpu(used) < 0.1
        after = costs(frontend, "pass")
        assert set(after) == set(before)
        assert after["memory_peak"] - before["memory_peak"] < 15 * MB

    def test_a_fork_while_the_child_lives_on(self, frontend):
        """G38: a child that goes on does not keep the meter's files."""
        code = """
gate = os.pipe()
if not (child := os.fork()):
    os.read(gate[0], 1)
    os._exit(len([fd for fd in os.listdir('/proc/self/fd')
                  if 'statm' in os.path.realpath(f'/proc/self/fd/{fd}')]))
"""
        assert frontend.run(code) == []
        assert costs(frontend, "spin(0.1)")["cpu_children"] == 0
        code = "_ = os.write(gate[1], b'x'); os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])"
        assert frontend.run(code) == [("result", "0")]


class TestWildCode:
    def test_that_overwrites_what_was_measured_ends_nothing(self, fresh):
        """G18: the worker counts for itself; what native code did to the ledger is its own loss."""
        code = """
import ctypes
(line,) = [line for line in open('/proc/self/maps') if 'bulkhead-ledger' in line]
start = int(line.partition('-')[0], 16)
slots = (ctypes.c_uint64 * 24).from_address(start)
for slot in (9, 10, 11, *range(13, 24)): slots[slot] = 2**64 - 1
"""
        pid = fresh.worker_pid()
        assert fresh.run(code) == []
        assert costs(fresh, "pass")["memory_peak"] < 1 << 40
        assert fresh.worker_pid() == pid
        parent = fresh.send("control", "usage_request")
        told = fresh.recv("control", "usage_reply", parent).content["bulkhead"]
        assert told["cells"] == {"ok": 4, "error": 0, "aborted": 0}
        assert told["peak"] < 1 << 40


def test_it_can_be_off(launch):
    """Issue, 2: --measure-cells=off measures nothing; a crash then tells nothing either."""
    frontend = launch(options=["--measure-cells=off"])
    assert costs(frontend, "1") is None
    parent = frontend.execute("import os; os._exit(1)")
    frontend.recv_begin(parent)
    frontend.recv_until_idle(parent)
    assert "resources" not in frontend.recv("shell", "execute_reply", parent).metadata


def test_measuring_costs_little(launch):
    """Issue, 2: under 1 ms a cell, compared in one run with a kernel that does not measure."""
    on, off = launch(), launch(options=["--measure-cells=off"])

    def seconds(frontend):
        began = os.times().elapsed
        for _ in range(20):
            assert frontend.run("pass") == []
        return (os.times().elapsed - began) / 20

    for frontend in (on, off):
        seconds(frontend)  # the first ones import
    pairs = [(seconds(on), seconds(off)) for _ in range(9)]
    assert median(with_ - without for with_, without in pairs) < 0.001
