"""What is read of processes: the same as psutil reads, and nothing of one that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bulkhead_kernel.supervisor import portable, procfs
from bulkhead_kernel.supervisor.family import Family

TREE = """
import ctypes, os, subprocess, sys, threading

ctypes.CDLL(None).prctl(15, b"a) Z (b", 0, 0, 0)  # PR_SET_NAME: what stands before the state
sleep = [sys.executable, "-c", "import sys; sys.stdin.read()"]
below = [sys.executable, "-c", f"import subprocess; subprocess.Popen({sleep}).wait()"]
children = [subprocess.Popen(sleep)]
# A child of a thread that goes on is that thread's.
started, over = threading.Event(), threading.Event()
def start():
    children.append(subprocess.Popen(below, stdout=subprocess.PIPE))
    started.set()
    over.wait()
threading.Thread(target=start, daemon=True).start()
started.wait()
while not (found := open(f"/proc/{children[1].pid}/task/{children[1].pid}/children").read()):
    pass
print(*(child.pid for child in children), found, flush=True)
for child in children:
    child.wait()
"""


@pytest.fixture
def tree():
    """Give a process and the ids of its descendants, which end with it."""
    process = subprocess.Popen(
        [sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    descendants = sorted(map(int, process.stdout.readline().split()))
    yield process, descendants
    process.communicate()


def test_descendants_are_children_of_any_thread_and_theirs(tree):
    """A walk through the threads of a family finds what a walk through all processes finds."""
    process, descendants = tree
    assert sorted(procfs.descendants(process.pid)) == descendants
    assert sorted(portable.descendants(process.pid)) == descendants
    assert len(descendants) == 3


def test_a_life_is_what_psutil_says_it_is(tree):
    """Whatever the name of the process; its time in clock ticks is to the hundredth."""
    process, _ = tree
    ours, theirs = procfs.life(process.pid), portable.life(process.pid)
    assert ours.cpu == pytest.approx(theirs.cpu, abs=0.011)
    assert not ours.is_over
    assert not theirs.is_over
    assert ours.began == procfs.life(process.pid).began
    assert ours.began != procfs.life(os.getpid()).began


@pytest.mark.parametrize("system", [procfs, portable], ids=["procfs", "psutil"])
@pytest.mark.parametrize("read", ["life", "descendants", "status"])
def test_a_process_that_was_reaped_is_none(system, read):
    """What is gone is told as one kind of error, by all ways."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(ProcessLookupError):
        getattr(system, read)(process.pid)


@pytest.mark.parametrize("system", [procfs, portable], ids=["procfs", "psutil"])
def test_a_process_that_waits_to_be_reaped_is_over(system):
    """Nobody counts the memory of the dead."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert system.life(process.pid).is_over
    assert Family(process.pid).look() is None
    process.wait()


def test_a_number_that_another_process_has_by_now_is_not_its(tree, monkeypatch):
    """The system gives numbers again; a family's first member is the one that it began with."""
    process, descendants = tree
    family = Family(process.pid)
    use = family.look()
    assert use is not None
    assert use.children == len(descendants)
    life = procfs.life
    monkeypatch.setattr(procfs, "life", lambda pid: life(pid)._replace(began=-1.0))
    assert family.look() is None


def test_what_is_hidden_is_not_there(tree, monkeypatch):
    """Where /proc hides other users' processes (hidepid), a worker that has some is looked at."""
    process, descendants = tree
    hidden = tuple(f"/proc/{pid}/" for pid in descendants)

    def unless_hidden(read):
        def look(path):
            if str(path).startswith(hidden):
                raise PermissionError(path)
            return read(path)

        return look

    monkeypatch.setattr(Path, "read_bytes", unless_hidden(Path.read_bytes))
    monkeypatch.setattr(os, "listdir", unless_hidden(os.listdir))
    use = Family(process.pid).look()
    assert use is not None
    assert (use.children, use.memory > 0) == (0, True)


def test_a_limit_is_lifted_to_what_the_process_may_have(tree):
    """Children that began with the worker's limit get what they could give themselves."""
    import resource  # noqa: PLC0415 - not on all systems

    process, _ = tree
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_DATA)
    resource.prlimit(process.pid, resource.RLIMIT_DATA, (1 << 30, hard))
    procfs.lift_limit(process.pid)
    assert resource.prlimit(process.pid, resource.RLIMIT_DATA) == (hard, hard)
