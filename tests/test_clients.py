"""Clients (G24, G34, G35), silence (G37), and children that user code forks (G38)."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
import zmq
from frontend import DEADLINE, UNWARNED, Client, Kernel, kernel, wait_gone

SETUP = "import os, signal, subprocess, sys, time; from IPython.display import display"


@pytest.fixture(autouse=True)
def _setup(frontend):
    assert frontend.run(SETUP) == []


class TestWelcome:
    def test_every_subscription_is_welcomed(self, frontend):
        """G34: the second client's and the third's, and each topic's, under that topic."""
        second = frontend.connect()
        third = frontend.connect(topics=(b"stream.stdout", b"kernel."))
        frontend.disconnect(third)
        frontend.disconnect(second)

    def test_a_subscription_to_streams_brings_streams_only(self, frontend):
        """G34: topics tell the messages apart; a welcome is the first that a subscriber gets."""
        listener = frontend.connect(topics=(b"stream.stdout",))
        parent = frontend.execute("print(1); display(2); print(3, file=sys.stderr)")
        assert frontend.finish(parent)
        listener.recv_stream("stdout", "1\n", parent)
        frontend.settle()
        assert not listener.sockets["iopub"].poll(0)
        frontend.disconnect(listener)

    def test_a_subscription_that_is_no_text_is_ignored(self, frontend):
        """G34: no welcome, no harm, and one for the next subscription of the same socket."""
        client = frontend.connect(topics=(), welcome=False)
        client.sockets["iopub"].subscribe(b"\xff\xfe")
        client.sockets["iopub"].subscribe(b"status")
        assert client.recv("iopub").content == {"subscription": "status"}
        frontend.recv_welcome(b"status")
        client.sockets["iopub"].unsubscribe(b"status")
        frontend.disconnect(client)
        assert frontend.run("1") == [("result", "1")]

    def test_the_welcome_is_the_first_that_a_subscriber_gets(self, tmp_path):
        """G34: also one that was there before the kernel was."""
        for i in range(5):
            started = Kernel(tmp_path / f"kernel-{i}", start=False)
            clients = [Client(started.connection, welcome=False) for _ in range(3)]
            try:
                started.start()
                for client in clients:
                    message = client.recv("iopub", "iopub_welcome", None)
                    assert message.content == {"subscription": ""}
            finally:
                started.kill()
                started.close()
                for client in clients:
                    client.close()

    def test_a_subscriber_that_comes_while_a_cell_prints_is_welcomed_first(self, frontend):
        """G34: what was published before its welcome is not for it."""
        parent = frontend.execute("while True: print('x'); display(1)")
        frontend.recv_begin(parent)
        late = frontend.connect(welcome=False)
        late.recv("iopub", "iopub_welcome", None)
        late.recv("iopub", None)
        request = frontend.interrupt()
        idle, seen = set(), []
        while idle != {parent, request}:
            seen.append(frontend.recv("iopub"))
            if seen[-1].entry == ("status", "idle"):
                idle.add(seen[-1].parent_id)
        assert [m.type for m in seen].count("iopub_welcome") == 1
        frontend.recv_reply(parent, "error")
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
        frontend.disconnect(late)

    def test_starting_is_published_once(self, tmp_path):
        """G34: a new worker is no new kernel; nobody hears it after the welcome."""
        with kernel(tmp_path / "kernel") as frontend:
            parent = frontend.execute("import os; os._exit(3)")
            frontend.recv_begin(parent)
            frontend.recv_crash(parent)
            assert frontend.run("1") == [("result", "1")]


class TestManyClients:
    def test_everybody_hears_everything_in_the_same_order(self, frontend):
        """G34: IOPub goes to all, replies go to the asker."""
        clients = [frontend, *(frontend.connect() for _ in range(3))]
        for client in clients:
            parent = client.execute(f"display({clients.index(client)})")
            heard = {
                tuple(listener.recv("iopub").header["msg_id"] for _ in range(4))
                for listener in clients
            }
            assert len(heard) == 1
            client.recv_reply(parent)
        for client in clients:
            for other in ("shell", "control", "stdin"):
                assert not client.sockets[other].poll(0)
        for client in clients[1:]:
            frontend.disconnect(client)

    def test_a_client_that_leaves_mid_cell_delays_nobody(self, frontend):
        """G35: its reply is dropped; the next cell of another client runs."""
        other = frontend.connect()
        parent = other.execute("for i in range(1000): print(i)")
        other.recv_busy(parent)
        frontend.disconnect(other)
        frontend.recv_busy(parent)
        frontend.recv_until_idle(parent)
        assert frontend.run("1") == [("result", "1")]

    def test_a_client_that_comes_back_with_its_identity_is_served(self, frontend):
        """G24: as a page that lost its connection does."""
        other = frontend.connect()
        identity = other.identity
        for _ in range(3):
            for channel in ("shell", "control", "stdin"):
                again = other.context.socket(zmq.DEALER)
                again.linger = 0
                again.setsockopt(zmq.IDENTITY, identity)
                other.sockets[channel].disable_monitor()
                other.monitors.pop(channel).close()
                other.sockets[channel].close()
                again.connect(other.url(channel))
                other.sockets[channel] = again
                other.monitors[channel] = again.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            # Not by input(): nothing tells a client that its new stdin has replaced the old one.
            parent = other.execute("1")
            other.recv_begin(parent)
            other.recv_result(parent, "1")
            other.recv_idle(parent)
            other.recv_reply(parent)
            other.request("kernel_info_request", channel="control")
            for _ in range(6):
                assert frontend.recv("iopub").type in ("status", "execute_input", "execute_result")
        frontend.disconnect(other)

    def test_a_subscriber_that_stops_reading_loses_nothing(self, frontend):
        """G35: 20,000 displays while one client reads nothing; it gets them all, later."""
        lazy = frontend.connect(patient=False)
        parent = frontend.execute("for i in range(20_000): display(i)")
        transcript = frontend.finish(parent)
        assert transcript == [("display", str(i)) for i in range(20_000)]
        assert frontend.run("1") == [("result", "1")]
        frontend.beat()
        lazy.recv_begin(parent)
        socket = lazy.sockets["iopub"]
        assert socket.poll(DEADLINE * 1000)
        shown = [json.loads(socket.recv_multipart()[-1])["data"] for _ in range(20_000)]
        assert [("display", data["text/plain"]) for data in shown] == transcript
        lazy.recv_idle(parent)
        for _ in range(4):  # of the cell `1`
            lazy.recv("iopub")
        frontend.disconnect(lazy)

    def test_a_subscriber_that_never_reads_again_costs_memory_only(self, frontend):
        """G35: it may leave with 5,000 messages unread; nobody notices."""
        lazy = frontend.connect(patient=False)
        assert len(frontend.run("for i in range(5_000): display(i)")) == 5_000
        frontend.disconnect(lazy)
        assert frontend.run("1") == [("result", "1")]


class TestWhatOutlivesTheWorker:
    def test_ports_key_and_session(self, frontend):
        """G24: three deaths later the same sockets answer with the same session, to old and new."""
        old = frontend.connect()
        file = frontend.kernel.file.read_text()
        sessions = set()
        for _ in range(3):
            parent = frontend.execute("os._exit(3)")
            for client in (frontend, old):
                client.recv_begin(parent)
                client.recv_error(parent, "KernelExited")
                client.recv_idle(parent)
            frontend.recv_reply(parent, "error")
            assert frontend.run(SETUP) == []
            for _ in range(3):
                sessions.add(old.recv("iopub").header["session"])
            frontend.beat()
        new = frontend.connect()
        sessions |= {new.kernel_session, frontend.kernel_session}
        assert len(sessions) == 1
        assert frontend.kernel.file.read_text() == file
        frontend.disconnect(new)
        frontend.disconnect(old)

    def test_the_worker_knows_the_session_and_the_file(self, frontend):
        """G24: libraries ask the kernel object for both."""
        code = "k = get_ipython().kernel; k.session.session, k.connection_file"
        ((_, text),) = frontend.run(code)
        assert frontend.kernel_session in text
        assert str(frontend.kernel.file) in text


def wake_ups(pids):
    """Count how often the threads of these processes gave the processor away by themselves."""
    count = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    count += int(line.split()[1])
    return count


class TestSilence:
    ALLOWED = 2
    """Wake-ups a second that are nobody's: a timer of the system, a page that is written back."""

    def test_an_idle_kernel_is_silent(self, frontend):
        """G37: no message, no CPU time, no wake-up, in all processes and threads, over a second."""
        frontend.run("print(1)")
        pids = [process.pid for process in frontend.kernel.family()]
        assert len(pids) == 3
        seen = []
        for _ in range(5):
            before = wake_ups(pids), [psutil.Process(pid).cpu_times()[:2] for pid in pids]
            assert not frontend.sockets["iopub"].poll(1000), frontend.recv("iopub")
            after = wake_ups(pids), [psutil.Process(pid).cpu_times()[:2] for pid in pids]
            seen.append((after[0] - before[0], after[1] == before[1]))
            if seen[-1][0] <= self.ALLOWED and seen[-1][1]:
                return  # the seconds before were the end of what the last cell had begun
        pytest.fail(f"wake-ups and whether no CPU time was used, each second: {seen}")

    def test_clients_that_wait_do_not_wake_it(self, frontend):
        """G37: five connected clients and an open comm change nothing."""
        frontend.run("from comm import create_comm; c = create_comm(target_name='t')")
        clients = [frontend.connect() for _ in range(5)]
        self.test_an_idle_kernel_is_silent(frontend)
        for client in clients:
            frontend.disconnect(client)
        frontend.run("c.close()")


class TestForkedChildren:
    def test_a_child_that_falls_out_of_its_cell_is_no_second_worker(self, frontend):
        """G38: it ends as a child ends; its print is there; the next cells run once."""
        code = """
print('before')
if pid := os.fork():
    status = os.waitpid(pid, 0)[1]
    print('parent', status)
else:
    print('child')
"""
        assert frontend.run(code) == [("stdout", "before\nchild\nparent 0\n")]
        assert frontend.run("print(os.getpid())\n1") != []
        assert len(frontend.kernel.family()) == 3

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("1 / 0", "stderr"),
            ("await __import__('asyncio').sleep(0)", None),
            ("display('shown')", "stdout"),
            ("'result'", None),
            ("raise SystemExit", None),
            ("get_ipython().run_cell('print(1)')", "stdout"),
        ],
    )
    def test_whatever_the_child_does_its_messages_are_not_the_worker_s(self, frontend, code, kind):
        """G38: no error, result or display of a child reaches IOPub, only text; it is gone then."""
        cell = f"""
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
    print('parent')
else:
    {code}
"""
        transcript = frontend.run(cell)
        assert transcript[-1][0] == "stdout"
        assert transcript[-1][1].endswith("parent\n")
        assert {name for name, _ in transcript} <= {"stdout", "stderr"}
        if kind is not None:
            assert kind in [name for name, _ in transcript]
        assert len(frontend.kernel.family()) == 3

    def test_a_child_that_native_code_forks_is_known_as_one(self, frontend):
        """G38: Python's hooks do not run for it; what it prints comes as a child's output."""
        cell = """
import ctypes, os
pid = ctypes.PyDLL(None).fork()
if not pid:
    print('child', get_ipython().publisher.is_ours())
    os._exit(0)
os.waitpid(pid, 0)
print('parent', get_ipython().publisher.is_ours())
"""
        assert frontend.run(cell) == [("stdout", "child False\nparent True\n")]

    def test_a_child_that_runs_on_does_not_keep_the_cell_from_ending(self, frontend):
        """G38: idle and reply come while it lives; it may print later, and takes no request."""
        code = """
pid = os.fork()
if not pid:
    time.sleep(1000)
    os._exit(0)
"""
        assert frontend.run(code) == []
        for i in range(20):
            assert frontend.run(f"print({i})") == [("stdout", f"{i}\n")]
        assert frontend.run("os.kill(pid, 9); os.waitpid(pid, 0)[1]") == [("result", "9")]

    def test_a_child_cannot_write_into_the_kernel_s_pipes(self, frontend):
        """G38: garbage on every pipe that a child has, but for 1 and 2, disturbs nobody."""
        code = """
import stat
pid = os.fork()
if not pid:
    for fd in range(3, 200):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.set_blocking(fd, False)
                os.write(fd, b'garbage' * 100)
        except OSError:
            pass
    os._exit(0)
os.waitpid(pid, 0)[1]
"""
        assert frontend.run(code) == [("result", "0")]
        assert frontend.run("print(1)") == [("stdout", "1\n")]

    def test_a_child_that_reads_everything_takes_no_request(self, frontend):
        """G38: it has no descriptor on which requests come."""
        code = """
import stat, select
pid = os.fork()
if not pid:
    os.setsid()
    pipes = []
    for fd in range(3, 200):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode): pipes.append(fd)
        except OSError:
            pass
    while True:
        for fd in select.select(pipes, [], [], 1)[0]:
            try: os.read(fd, 100_000)
            except OSError: pass
"""
        assert frontend.run(code) == []
        for i in range(20):
            assert frontend.run(f"print({i})") == [("stdout", f"{i}\n")]
        assert frontend.run("os.kill(pid, 9); os.waitpid(pid, 0)[1]") == [("result", "9")]

    def test_a_daemon_outlives_its_cell_and_the_worker(self, frontend):
        """G38, G32: two forks, a session of its own; it holds descriptor 1 and delays nothing."""
        code = """
r, w = os.pipe()
if not os.fork():
    os.setsid()
    if not os.fork():
        os.write(w, str(os.getpid()).encode()); os.close(w)
        time.sleep(1000)
    os._exit(0)
os.close(w); os.wait(); print(os.read(r, 20).decode())
"""
        ((_, text),) = frontend.run(code)
        parent = frontend.execute("os._exit(3)")
        frontend.recv_begin(parent)
        frontend.recv_crash(parent)
        assert frontend.run("1") == [("result", "1")]
        daemon = psutil.Process(int(text))
        daemon.kill()
        assert wait_gone(daemon.pid, 5)

    def test_a_child_does_not_write_the_kernel_s_history(self, frontend):
        """G38: it has a copy of what is to be written."""
        frontend.run("'to be written once'")
        code = """
pid = os.fork()
if not pid:
    get_ipython().history_manager.save()
    os._exit(0)
os.waitpid(pid, 0)[1]
"""
        assert frontend.run(code) == [("result", "0")]
        content = {"hist_access_type": "search", "pattern": "'to be written once'", "raw": True}
        reply = frontend.request("history_request", content | {"output": False})
        assert [line[2] for line in reply["history"]] == ["'to be written once'"]

    def test_subprocesses_inherit_no_descriptor_of_ours(self, frontend):
        """G38: with close_fds=False, too: a child of Popen has 0, 1 and 2."""
        for code in (
            "subprocess.run(['ls', '/proc/self/fd'], close_fds=False);",
            "os.system('ls /proc/self/fd');",
        ):
            assert frontend.run(code) == [("stdout", "0\n1\n2\n3\n")]  # 3 is what ls reads

    def test_fork_in_a_thread(self, frontend):
        """G38: the child has one thread, and ends with its function."""
        code = f"""
{UNWARNED}
import threading
def f():
    pid = os.fork()
    if not pid:
        print('child'); os._exit(5)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
t = threading.Thread(target=f); t.start(); t.join()
"""
        assert frontend.run(code) == [("stdout", "child\n5\n")]

    def test_a_pool_that_is_left_behind_does_not_hold_up_the_end(self, tmp_path):
        """G38, G31: workers of a multiprocessing pool wait for work; shutdown does not wait."""
        with kernel(tmp_path / "kernel") as frontend:
            code = (
                "import multiprocessing as m; pool = m.get_context('fork').Pool(2);"
                "print(pool.map(abs, [-1]))"
            )
            assert frontend.run(code) == [("stdout", "[1]\n")]
            assert json.loads(frontend.kernel.file.read_text())
