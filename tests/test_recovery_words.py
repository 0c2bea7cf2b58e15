"""What decides about snapshots and what tells of them, as far as it is pure."""

from __future__ import annotations

import fcntl
import os

import pytest
from bulkhead_kernel.supervisor.recovery_words import Outcome, next_step, variables
from bulkhead_kernel.worker.recovery import locks
from bulkhead_kernel.worker.recovery.budget import AUTO, OFF, ON, Budget
from bulkhead_kernel.worker.recovery.descriptors import Parted
from bulkhead_kernel.worker.recovery.parked import losses, shared_memory
from bulkhead_kernel.worker.recovery.tally import Tally


class TestBudget:
    def test_nothing_is_wanted_before_something_has_changed(self):
        """A snapshot of what is in one already costs, and is worth nothing."""
        budget = Budget(ON)
        assert not budget.wanted
        budget.worked(0.0)
        assert budget.wanted
        budget.took(0.01)
        assert not budget.wanted

    def test_off_is_off(self):
        """Whoever has switched it off gets none."""
        budget = Budget(OFF)
        budget.worked(100.0)
        assert not budget.wanted
        assert not budget.is_earned(0.0)

    def test_on_makes_one_before_each_cell(self):
        """At any price."""
        budget = Budget(ON)
        budget.took(1.0)
        budget.worked(0.0)
        assert budget.is_earned(10.0)

    @pytest.mark.parametrize("cost", [0.002, 0.02, 0.2])
    def test_in_a_queue_each_has_to_be_earned(self, cost):
        """The time that they take is a small part of the time that cells take."""
        budget = Budget(AUTO)
        budget.took(cost)
        spent = ran = 0.0
        for _ in range(10_000):
            budget.worked(0.01)
            ran += 0.01
            if budget.is_earned(0.0):
                spent += cost
                budget.took(cost)
        assert 0 < spent < 0.05 * ran

    def test_pages_that_were_copied_count(self):
        """The price of a snapshot is paid on writing, too."""
        budget = Budget(AUTO)
        budget.took(0.001)
        budget.worked(1.0)
        assert budget.is_earned(0.0)
        assert not budget.is_earned(0.25)

    def test_nobody_is_made_to_pay_more_than_is_fair(self):
        """Also where nobody waits: what the last one cost the cells counts."""
        budget = Budget(AUTO)
        budget.worked(1.0)
        assert budget.is_fair(0.0)
        assert budget.is_fair(0.019)
        assert not budget.is_fair(0.6)
        budget.worked(60.0)
        assert budget.is_fair(0.6)
        assert Budget(ON).is_fair(0.6)

    def test_who_waits_for_a_long_one_waits_longer_for_it_to_begin(self):
        """Nobody is there, probably, after ten times its price without a request."""
        budget = Budget(AUTO)
        budget.took(0.5)
        assert budget.patience >= 5.0
        budget.took(0.0001)
        assert 0.01 < budget.patience < 1.0


class TestLocks:
    FDINFO = (
        "pos:\t0\nflags:\t0100002\nmnt_id:\t29\nino:\t5\n"
        "lock:\t1: POSIX  ADVISORY  WRITE 1234 00:2b:9 1073741824 1073741824\n"
        "lock:\t2: POSIX  ADVISORY  READ 1234 00:2b:9 1073741826 1073742335\n"
        "lock:\t3: FLOCK  ADVISORY  WRITE 1234 00:2b:9 0 EOF\n"
        "lock:\t4: OFDLCK ADVISORY  READ -1 00:2b:9 7 EOF\n"
    )

    def test_what_the_system_tells_is_read(self):
        """Kind, access, place: the same lock can be taken from it."""
        assert locks.parse(self.FDINFO) == [
            ("POSIX", True, 1 << 30, 1),
            ("POSIX", False, (1 << 30) + 2, 510),
            ("FLOCK", True, 0, 0),
            ("OFDLCK", False, 7, 0),
        ]
        assert locks.parse("pos:\t0\n") == []

    @pytest.mark.parametrize("kind", ["flock", "lockf", "ofd"])
    def test_a_lock_is_found_and_taken_again(self, kind, tmp_path):
        """What is let go of and unchanged is taken as it was."""
        path = tmp_path / "file"
        path.write_text("0123456789")
        with path.open("r+") as file:
            if kind == "flock":
                fcntl.flock(file, fcntl.LOCK_EX)
            elif kind == "lockf":
                fcntl.lockf(file, fcntl.LOCK_EX, 4, 2)
            else:
                wanted = locks._FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 2, 4, 0)
                fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
            held = locks.held([file.fileno()])
            assert [(lock.path, lock.exclusive) for lock in held] == [(str(path), True)]
            fcntl.flock(file, fcntl.LOCK_UN)
            fcntl.lockf(file, fcntl.LOCK_UN)
            assert locks.take_again(held) == []
            if kind != "ofd":  # or is held still: no matter
                assert [lock[2:6] for lock in locks.held([file.fileno()])] == [held[0][2:6]]

    @pytest.mark.parametrize("beside", ["", "-wal", "-shm", "-journal"])
    def test_what_was_changed_is_only_read_from_then_on(self, beside, tmp_path):
        """A file that others have written since is not written by somebody who does not know."""
        path = tmp_path / "file"
        path.write_text("0123456789")
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held = locks.held([file.fileno()])
            (tmp_path / f"file{beside}").write_text("else")
            assert locks.take_again(held) == [str(path)]
            assert file.read() in ("0123456789", "else")
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(file.fileno(), b"x")


class TestLosses:
    def test_nothing_lost_is_nothing_told(self):
        """Everything is back: the report does not worry anybody."""
        assert losses(Parted(), (), Tally(), [], [], []) == []

    def test_each_thing_is_named(self):
        """What has not come back, by names that a user knows."""
        tally = Tally()
        tally.back("there again")
        for _ in range(2):
            tally.add("child process", "child processes")
        tally.add("process pool")
        tally.alone.append(77)
        tally.renewed = 2
        parted = Parted(connections=3)
        told = losses(
            parted, ("b", "there again", "a"), tally, ["/x"], ["/x", "/y"], ["/m1", "/m2"]
        )
        assert told == [
            "Threads that are gone: a, b.",
            "1 connection (sockets, pipes) that is closed now.",
            "2 child processes and 1 process pool that ended with it.",
            "Child process 77, which goes on by itself.",
            "/x was locked, and can only be read now.",
            "/y was written to since, and that stays.",
            "Shared memory (/m1, /m2) was not turned back.",
        ]

    def test_shared_memory_is_named(self):
        """What can be written and is shared, but for ours and what looks after itself."""
        maps = """\
7f0000000000-7f0000001000 rw-p 00000000 00:00 0                          [heap]
7f0000001000-7f0000002000 r--s 00000000 00:01 5                          /usr/lib/readable
7f0000002000-7f0000003000 rw-s 00000000 00:01 6                          /data/my map
7f0000003000-7f0000004000 rw-s 00000000 00:01 7                          /dev/zero (deleted)
7f0000004000-7f0000005000 rw-s 00000000 00:01 8                          /memfd:bulkhead-x (deleted)
7f0000005000-7f0000006000 rw-s 00000000 00:01 9                          /dev/shm/sem.x (deleted)
7f0000006000-7f0000007000 rw-s 00000000 00:01 9                          /data/db-shm
7f0000007000-7f0000008000 rw-s 00001000 00:01 6                          /data/my map
"""
        assert shared_memory(maps) == ["/data/my map", "not a file's"]


class TestWords:
    def test_all_is_back(self):
        """The newest cell is in it."""
        lines = variables(Outcome(True, 3), 3)
        assert len(lines) == 1
        assert "are back" in lines[0]
        assert "In [3]" in lines[0]
        assert next_step(Outcome(True, 3), ran=True) == "Next: change this cell, and go on."

    def test_what_is_lost_is_told_with_its_reason(self):
        """A restored interpreter that lacks cells says which, and why."""
        lines = variables(Outcome(True, 2, why_not="thread 'x' is running"), 4)
        assert "In [3] to [4]" in lines[0]
        assert lines[1] == "There was no newer snapshot: thread 'x' is running."

    def test_nothing_is_back(self):
        """A refusal has a reason."""
        lines = variables(Outcome(why_not="polars has threads"), 4)
        assert "are gone" in lines[0]
        assert "polars has threads" in lines[1]
