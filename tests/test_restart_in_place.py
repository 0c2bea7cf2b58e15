"""A restart in place (G31, G23, G24): the supervisor stays, and the worker is another one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from bulkhead_kernel.supervisor.options import parse_options
from bulkhead_kernel.supervisor.provisioner import NOBODY, Provisioner
from frontend import DEADLINE, Gate, wait_gone

RESTART_DEADLINE = 2.5
"""Seconds: then jupyter_client sends SIGTERM, and the supervisor would be gone."""

STUBBORN = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""


class Kept:
    """A kernel that was started by a provisioner: us."""

    def __init__(self, launch, **options):
        self.ours, theirs = socket.socketpair()
        with theirs:
            self.fd, self.inode = theirs.fileno(), os.fstat(theirs.fileno()).st_ino
            arguments = [*options.pop("options", ()), f"--restart-in-place={self.fd}"]
            self.frontend = launch(options=arguments, pass_fds=[self.fd], **options)
        self.ours.settimeout(DEADLINE)
        self.pid = self.frontend.kernel.pid

    def told(self):
        """Give what the supervisor has told until now, once it has told anything."""
        return self.ours.recv(1 << 12)

    def assert_silent(self):
        self.ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.ours.recv(1)
        self.ours.settimeout(DEADLINE)

    @property
    def word(self):
        return json.dumps(self.frontend.session).encode() + b"\n"

    def restart(self):
        return self.frontend.send("control", "shutdown_request", {"restart": True})

    def assert_restarted(self):
        """Assert that the same supervisor runs cells on a new worker that knows nothing."""
        assert self.told() == self.word
        frontend = self.frontend
        out = frontend.run("'left' in globals()")
        assert out == [("result", "False")]
        assert out.reply["execution_count"] == 1
        assert frontend.kernel.pid == self.pid
        assert frontend.kernel.process.poll() is None


@pytest.fixture
def kept(launch):
    kernel = Kept(launch)
    yield kernel
    kernel.ours.close()


class TestARestart:
    def test_of_an_idle_kernel(self, kept):
        """G24, G31: answered after the worker is gone; then who asked is told, by session."""
        frontend = kept.frontend
        old = frontend.worker_pid()
        assert frontend.run("left = 1") == []
        kept.assert_silent()
        parent = kept.restart()
        frontend.recv_shutdown(parent, restart=True)
        assert wait_gone(old, 0), "the worker is gone when the answer comes"
        kept.assert_restarted()
        assert frontend.worker_pid() != old

    def test_over_and_over(self, kept):
        """G24: as often as one likes, with the same ports, key and session."""
        for _ in range(5):
            assert kept.frontend.run("left = 1") == []
            kept.frontend.recv_shutdown(kept.restart(), restart=True)
            kept.assert_restarted()

    def test_is_heard_by_every_client(self, kept):
        """G34: all hear the answer, and no second 'starting'; none has to connect again."""
        frontend = kept.frontend
        other = frontend.connect()
        parent = kept.restart()
        frontend.recv_shutdown(parent, restart=True)
        other.recv_busy(parent)
        assert other.recv("iopub", "shutdown_reply", parent).content["restart"] is True
        other.recv_idle(parent)
        assert kept.told() == kept.word
        parent = other.execute("1")
        for client in (frontend, other):
            client.recv_begin(parent)
            client.recv_result(parent, "1")
            client.recv_idle(parent)
        other.recv_reply(parent)
        other.beat()
        frontend.disconnect(other)

    def test_ends_what_runs_and_what_waits(self, kept, tmp_path):
        """G9, G21: each request has its answer, in order; what is sent afterwards runs."""
        frontend = kept.frontend
        gate = Gate(tmp_path)
        running = frontend.execute(f"{STUBBORN}print('held')\n{gate.wait}")
        frontend.recv_begin(running)
        frontend.recv_stream("stdout", "held\n", running)
        waiting = frontend.execute("left = 1")
        completing = frontend.send("shell", "complete_request", {"code": "a", "cursor_pos": 1})
        frontend.arrived()
        parent = kept.restart()
        # What waits is refused at once; what runs has a moment to end by itself.
        frontend.recv("control", "shutdown_reply", parent)
        seen = [
            (each.parent_id, each.entry) for each in frontend.recv_until_idle(parent, others=True)
        ]
        ended = [("error", "KernelRestarted"), ("status", "idle")]
        for request in (waiting, completing):
            entries = [entry for each, entry in seen if each == request]
            assert entries == [("status", "busy"), *ended]
        assert [entry for each, entry in seen if each == running] == ended
        frontend.recv_reply(running, "error")
        frontend.recv_reply(waiting, "error")
        frontend.recv_reply(completing, "error", msg_type="complete_reply")
        kept.assert_restarted()

    def test_closes_comms(self, kept):
        """G17: before the answer; the next worker knows none of them."""
        frontend = kept.frontend
        frontend.run("import comm; left = comm.create_comm(target_name='t')")
        comms = frontend.request("comm_info_request")["comms"]
        assert len(comms) == 1
        parent = kept.restart()
        frontend.recv_closed_comms(comms)
        frontend.recv_shutdown(parent, restart=True)
        assert frontend.request("comm_info_request")["comms"] == {}
        kept.assert_restarted()

    def test_ends_a_question(self, kept):
        """G33: a late answer reaches nobody."""
        frontend = kept.frontend
        asking = frontend.execute("left = input('?')", allow_stdin=True)
        frontend.recv_begin(asking)
        prompt = frontend.recv("stdin", "input_request", asking)
        parent = kept.restart()
        frontend.recv("control", "shutdown_reply", parent)
        frontend.recv_until_idle(parent, others=True)
        assert frontend.recv("shell", "execute_reply", asking).content["status"] == "error"
        frontend.send_input("late", prompt)
        kept.assert_restarted()

    @pytest.mark.parametrize(
        "code",
        [
            STUBBORN + "while True: pass",
            STUBBORN + "import ctypes; ctypes.PyDLL(None).sleep(1000)",
            "import atexit, time; atexit.register(time.sleep, 1000); time.sleep(1000)",
        ],
        ids=["deaf", "deaf in C with the GIL", "will not leave"],
    )
    def test_of_a_worker_that_does_not_want_to(self, kept, code):
        """G31: within the time after which jupyter_client would end the supervisor."""
        frontend = kept.frontend
        running = frontend.execute("print('held')\n" + code)
        frontend.recv_begin(running)
        frontend.recv_stream("stdout", "held\n", running)
        began = time.monotonic()
        parent = kept.restart()
        frontend.recv("control", "shutdown_reply", parent, deadline=DEADLINE)
        assert time.monotonic() - began < RESTART_DEADLINE
        frontend.recv_until_idle(parent, others=True)
        assert frontend.recv("shell", "execute_reply", running).content["status"] == "error"
        kept.assert_restarted()

    def test_of_a_worker_that_has_stopped(self, kept):
        """G31: a stopped process hears nothing, and is ended all the same."""
        worker = psutil.Process(kept.frontend.worker_pid())
        worker.suspend()
        kept.frontend.recv_shutdown(kept.restart(), restart=True)
        kept.assert_restarted()

    def test_ends_children_of_the_user(self, kept):
        """G31: what was left in the worker's group goes with it."""
        frontend = kept.frontend
        code = "import subprocess; subprocess.Popen(['sleep', '1000']).pid"
        (entry,) = frontend.run(code)
        frontend.recv_shutdown(kept.restart(), restart=True)
        assert wait_gone(int(entry[1]), DEADLINE)
        kept.assert_restarted()

    def test_is_no_crash(self, kept, tmp_path):
        """Nothing is told on stderr, in the log or in the crash log; no death is counted."""
        frontend = kept.frontend
        frontend.recv_shutdown(kept.restart(), restart=True)
        kept.assert_restarted()
        parent = frontend.send("control", "usage_request")
        usage = frontend.recv("control", "usage_reply", parent).content["bulkhead"]
        assert usage["restarts"] == {}
        assert usage["generation"] == 2
        assert frontend.kernel.log.read_text() == ""
        assert not list(tmp_path.rglob("*crash*"))


class TestAtABadMoment:
    def test_while_it_starts(self, launch):
        """G31: the worker that has just been asked for is not the one that serves."""
        kept = Kept(launch)
        for _ in range(3):
            kept.frontend.recv_shutdown(kept.restart(), restart=True)
            kept.frontend.request("kernel_info_request")
        assert kept.ours.recv(1 << 12)
        assert kept.frontend.run("1") == [("result", "1")]
        kept.ours.close()

    @pytest.mark.parametrize("attempt", range(5))
    def test_while_it_dies(self, kept, attempt):
        """G18, G31: told as a crash or as a restart, and once; the next worker serves."""
        frontend = kept.frontend
        crashing = frontend.execute("left = 1; import os; os._exit(3)")
        frontend.recv_begin(crashing)
        parent = kept.restart()
        frontend.recv("control", "shutdown_reply", parent)
        seen = [message.entry for message in frontend.recv_until_idle(parent, others=True)]
        enames = [value for kind, value in seen if kind == "error"]
        # Who is asked to leave is interrupted.
        assert enames in (["KernelExited"], ["KernelRestarted"], ["KeyboardInterrupt"])
        frontend.recv_reply(crashing, "error")
        kept.assert_restarted()

    def test_after_too_many_that_died_young(self, launch, tmp_path):
        """G25: a restart tries again, and again three times."""
        cause = tmp_path / "cause"
        cause.write_text("")
        startup = tmp_path / "kernel-0" / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "00.py").write_text(f"import os\nif os.path.exists({str(cause)!r}): os._exit(9)")
        kept = Kept(launch)
        frontend = kept.frontend
        parent = frontend.execute("1")
        frontend.recv_busy(parent)
        frontend.recv_error(parent, "KernelExited")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")
        cause.unlink()
        frontend.logs_errors = True
        frontend.recv_shutdown(kept.restart(), restart=True)
        kept.assert_restarted()
        kept.ours.close()

    def test_twice_at_once(self, kept):
        """G31: both are answered, and one new worker comes of it, or two."""
        parents = [kept.restart(), kept.restart()]
        replies = {kept.frontend.recv("control").parent_id for _ in parents}
        assert replies == set(parents)
        idle = set()
        while idle != set(parents):
            message = kept.frontend.recv("iopub")
            if message.entry == ("status", "idle"):
                idle.add(message.parent_id)
        assert set(kept.told().splitlines()) == {kept.word.strip()}
        assert kept.frontend.run("'left' in globals()") == [("result", "False")]

    def test_before_the_end(self, kept):
        """G31: who wants it to end has the last word; both are answered."""
        frontend = kept.frontend
        parents = [kept.restart(), frontend.send("control", "shutdown_request", {"restart": False})]
        replies = {frontend.recv("control").parent_id for _ in parents}
        assert replies == set(parents)
        for _ in range(6):
            assert frontend.recv("iopub").parent_id in parents
        frontend.end()


class TestWhoIsTold:
    def test_a_shutdown_is_a_shutdown(self, kept):
        """G31: without `restart` the supervisor ends, with what it was started by."""
        kept.frontend.settle()
        kept.frontend.shutdown()
        kept.frontend.end()
        assert kept.ours.recv(1 << 12) == kept.word
        assert kept.ours.recv(1) == b"", "no other process holds this end"

    def test_a_restart_without_a_provisioner_ends_the_process(self, kept):
        """When nobody is there who could keep it, jupyter_client waits for the process to end."""
        kept.frontend.settle()
        kept.ours.close()
        kept.frontend.run("1")
        kept.frontend.settle()
        kept.frontend.shutdown(restart=True)
        kept.frontend.end()

    def test_only_the_supervisor_holds_the_descriptor(self, kept):
        """User code can neither read nor write there, nor keep it open when the supervisor goes."""
        assert kept.frontend.run("1") == [("result", "1")]
        holders = {
            process.pid
            for process in kept.frontend.kernel.family()
            for fd in Path(f"/proc/{process.pid}/fd").iterdir()
            if fd.is_symlink() and str(fd.readlink()) == f"socket:[{kept.inode}]"
        }
        assert holders == {kept.pid}
        kept.frontend.kernel.kill()
        assert kept.ours.recv(1) == b""
        kept.frontend.give_up()

    def test_a_provisioner_that_does_not_listen_holds_up_nobody(self):
        """What cannot be told is not told; the supervisor goes on."""
        ours, theirs = socket.socketpair()
        with ours:
            provisioner = Provisioner(theirs.detach())

            class Message:
                header = json.dumps({"session": "s" * 4000}).encode()

            for _ in range(1000):
                provisioner.tell(Message)
            assert provisioner.is_there
            assert not provisioner.heard()
            ours.send(b"anything")
            assert not provisioner.heard()
        assert provisioner.heard()
        assert (provisioner.is_there, provisioner.fileno()) == (False, None)
        assert not provisioner.heard()
        provisioner.tell(Message)

    def test_nobody(self):
        """Without the option there is none."""
        assert repr(Provisioner(NOBODY)) == "<Provisioner: not there>"
        assert not Provisioner(NOBODY).is_there


class TestTheOption:
    @pytest.mark.parametrize("value", ["x", "-1x", "0", "2", "1.5", "٣"])
    def test_is_a_descriptor(self, value):
        """Whatever else stands there is told."""
        with pytest.raises(
            SystemExit, match="--restart-in-place must be a file descriptor above 2"
        ):
            parse_options([f"--restart-in-place={value}"])

    def test_does_not_come_from_the_environment(self, monkeypatch):
        """A Jupyter that the user's code starts would hand it down to a kernel of its own."""
        monkeypatch.setenv("BULKHEAD_RESTART_IN_PLACE", "7")
        assert parse_options([]).provisioner == NOBODY
        assert parse_options(["--restart-in-place=7"]).provisioner == 7

    def test_that_was_given_by_hand_is_told(self, tmp_path):
        """A descriptor that is no socket: the kernel ends, and says what to do."""
        done = subprocess.run(
            [sys.executable, "-m", "bulkhead_kernel.supervisor", "--restart-in-place=77",
             "-f", str(tmp_path / "kernel.json")],
            capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.endswith(
            "bulkhead: --restart-in-place=77 is no open socket. Bulkhead's provisioner sets this "
            "option; leave it out of the kernelspec.\n"
        )
