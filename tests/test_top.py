"""``bulkhead top`` for real: processes, sockets, a server, and the command in its own process."""

import asyncio
import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import threading
import urllib.request

import fake_kernel
import psutil
import pytest
from bulkhead_kernel.kernelspec import top_kernels
from bulkhead_kernel.kernelspec.cli import main
from bulkhead_kernel.kernelspec.spec import MODULE
from bulkhead_kernel.kernelspec.top_kernels import GONE, NO_SERVER, Kernels
from bulkhead_kernel.kernelspec.top_view import NOBODY
from frontend import listens
from jupyter_client.blocking import BlockingKernelClient

DEADLINE = 60
TICK = 0.05
COMMAND = [sys.executable, "-m", "bulkhead_kernel.kernelspec", "top"]
MIB = 1 << 20
USAGE = {
    "kernel_cpu": 12.0,
    "bulkhead": {
        "state": "busy",
        "memory": 80 * MIB,
        "peak": 90 * MIB,
        "limit": None,
        "uptime": 100.0,
        "cell": {"execution_count": 12, "seconds": 83.5},
        "restarts": {"KernelSegfault": 2},
        "cells": {"ok": 4, "error": 0, "aborted": 0},
    },
}


class Runtime:
    """A runtime folder, with kernels and servers in it that end with the test."""

    def __init__(self, folder):
        self.home = folder
        self.folder = folder / "runtime"
        self.folder.mkdir()
        self._processes = []
        self.environment = os.environ | {
            "COLUMNS": "80",
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder),
        }
        self.environment.pop("NO_COLOR", None)

    def start(self, *arguments, **options):
        with (self.home / "stderr").open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                stderr=stderr,
                env=self.environment,
                text=True,
                **options,
            )
        self._processes.append(process)
        return process

    def fake(self, name, script, *, module=MODULE):
        """Start a fake kernel; its stdout is what it was asked."""
        file = self.folder / f"kernel-{name}.json"
        process = self.start(
            fake_kernel.__file__, module, "-f", file, json.dumps(script), stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == "listening\n"
        return process

    def ipykernel(self, name):
        """Start an ipykernel; give a client of it, when it answers."""
        file = self.folder / f"kernel-{name}.json"
        process = self.start("-m", "ipykernel_launcher", "-f", file)
        wait_for(lambda: self.is_written(file), process)
        return process, self.client(file)

    @staticmethod
    def client(file):
        """Give a client of a kernel that answers."""
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels(hb=False)
        client.wait_for_ready(timeout=DEADLINE)
        return client

    def server(self):
        """Start a Jupyter server; give what its file says."""
        options = [f"--ServerApp.root_dir={self.home}", "--no-browser", "--port=0", "--allow-root"]
        process = self.start("-m", "jupyter_server", "--ip=127.0.0.1", *options)
        file = self.folder / f"jpserver-{process.pid}.json"
        wait_for(lambda: self.is_written(file), process)
        info = json.loads(file.read_text())
        wait_for(lambda: listens(info["url"]), process)
        return info

    @staticmethod
    def is_written(file):
        try:
            return json.loads(file.read_bytes())
        except (OSError, ValueError):
            return None

    def look(self, times=1):
        """Look so many times with one pair of eyes; give what was seen last."""

        async def looks():
            with Kernels(self.folder) as kernels:
                for _ in range(times):
                    look = await kernels.look()
                return look

        return asyncio.run(looks())

    def do(self, action, meanwhile=lambda: None):
        """Do something to the only kernel; give what became of it."""

        async def does():
            with Kernels(self.folder) as kernels:
                (kernel,) = (await kernels.look()).kernels
                meanwhile()
                return await getattr(kernels, action)(kernel)

        return asyncio.run(does())

    def command(self, *options):
        done = subprocess.run(
            [*COMMAND, *options],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=DEADLINE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout, done.stderr

    def end(self):
        for process in reversed(self._processes):
            family = []
            with contextlib.suppress(psutil.NoSuchProcess):
                family += psutil.Process(process.pid).children(recursive=True)
            for each in (process, *family):
                with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                    each.kill()
            process.wait(DEADLINE)
            if process.stdout:
                process.stdout.close()


def leave(client):
    client.stop_channels()
    client.context.term()


def make_zombie(process):
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def wait_for(condition, process):
    """Wait for what a process does at its start."""
    tick = threading.Event()
    while not condition():
        assert process.poll() is None
        tick.wait(TICK)


@pytest.fixture
def runtime(tmp_path):
    runtime = Runtime(tmp_path)
    yield runtime
    runtime.end()


class TestLook:
    def test_a_kernel_of_ours(self, runtime):
        """It tells itself what it uses."""
        process = runtime.fake("ours", {"usage_request": USAGE})
        (kernel,), stale = runtime.look()
        assert stale == 0
        assert (kernel.id, kernel.pid, kernel.bulkhead) == ("ours", process.pid, True)
        assert (kernel.state, kernel.memory, kernel.peak) == ("busy", 80 * MIB, 90 * MIB)
        assert (kernel.cpu_percent, kernel.cell.execution_count) == (12.0, 12)
        assert process.stdout.readline() == "usage_request\n"

    def test_a_silent_kernel_of_ours(self, runtime):
        """It is told of by the system, and costs the others nothing."""
        runtime.fake("a", {"usage_request": None})
        runtime.fake("b", {"usage_request": USAGE})
        (silent, other), _ = runtime.look(times=2)
        assert (silent.bulkhead, silent.state, silent.peak) == (True, None, None)
        assert silent.memory > MIB
        assert silent.cpu_percent >= 0
        assert other.state == "busy"

    def test_a_kernel_of_others_is_left_alone(self, runtime):
        """A question would keep it from being idle: what is told of it is the system's."""
        process = runtime.fake("other", {"usage_request": USAGE}, module="somebody_s_kernel")
        (kernel,), _ = runtime.look(times=2)
        assert (kernel.bulkhead, kernel.state, kernel.peak) == (False, None, None)
        assert kernel.memory > MIB
        process.kill()
        assert process.stdout.read() == ""

    def test_files_without_a_kernel(self, runtime):
        """Neither a file that was left, nor whoever was given one, is a kernel."""
        left, given = runtime.fake("left", {}), runtime.fake("given", {})
        runtime.fake("alive", {})
        for process in (left, given):
            process.kill()
            process.wait()
        sleep = "import sys; sys.stdin.read()"
        runtime.start(
            "-c", sleep, runtime.folder / "kernel-given.json", stdin=subprocess.PIPE
        ).stdin.close()
        look = runtime.look()
        assert [kernel.id for kernel in look.kernels] == ["alive"]
        assert look.stale == 2

    def test_a_kernel_that_ends_between_looks(self, runtime):
        """A process that was known is looked at again; a zombie is no kernel."""
        process = runtime.fake("ours", {"usage_request": USAGE})

        async def looks():
            with Kernels(runtime.folder) as kernels:
                before = await kernels.look()
                make_zombie(process)
                after = await kernels.look()
                told = await kernels.interrupt(before.kernels[0])
                return before, after, told

        before, after, told = asyncio.run(looks())
        assert len(before.kernels) == 1
        assert after == ((), 1)
        assert told == GONE


class TestInterrupt:
    def test_a_kernel_of_ours(self, runtime):
        """It gets a message on its control channel, and no signal."""
        script = {"usage_request": USAGE, "interrupt_request": {"status": "ok"}}
        process = runtime.fake("ours", script)
        assert runtime.do("interrupt") == "Interrupted."
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines == ["usage_request\n", "interrupt_request\n"]
        assert process.poll() is None

    def test_a_kernel_that_refuses(self, runtime):
        """What it says stands in the status."""
        refusal = {"status": "error", "ename": "No", "evalue": "not\x1b now"}
        runtime.fake("ours", {"usage_request": USAGE, "interrupt_request": refusal})
        assert runtime.do("interrupt").startswith("The kernel did not interrupt: not� now.")

    def test_a_kernel_that_does_not_answer(self, runtime, monkeypatch):
        """It is not waited for beyond patience."""
        monkeypatch.setattr(top_kernels, "INTERRUPT_PATIENCE", 0.1)
        runtime.fake("ours", {"usage_request": USAGE})
        assert "did not answer" in runtime.do("interrupt")

    def test_an_ipykernel(self, runtime):
        """It gets the signal that Jupyter would send, and its cell ends."""
        process, client = runtime.ipykernel("other")
        client.execute("print('runs', flush=True)\nimport threading; threading.Event().wait()")
        while client.get_iopub_msg(timeout=DEADLINE)["msg_type"] != "stream":
            pass
        (kernel,), _ = runtime.look()
        assert (kernel.pid, kernel.bulkhead, kernel.memory > MIB) == (process.pid, False, True)
        assert runtime.do("interrupt") == "Interrupted, by a signal."
        while (reply := client.get_shell_msg(timeout=DEADLINE))["msg_type"] != "execute_reply":
            pass  # what the client asked while the kernel started
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert runtime.do("restart") == NO_SERVER
        leave(client)
        assert process.poll() is None

    def test_a_kernel_that_a_signal_may_end(self, runtime):
        """Who may not know SIGINT gets none; the status says what to do instead."""
        process = runtime.fake("other", {}, module="somebody_s_kernel")
        assert runtime.do("interrupt").startswith("Not interrupted: ")
        assert process.poll() is None

    def test_a_kernel_that_is_gone(self, runtime):
        """That it has ended meanwhile is told."""
        process, client = runtime.ipykernel("other")
        leave(client)
        assert runtime.do("interrupt", lambda: (process.kill(), process.wait())) == GONE


class TestServer:
    def test_a_kernel_of_a_server(self, runtime):
        """Its notebook is its name; the server restarts and interrupts it, and takes no note."""
        info = runtime.server()
        (runtime.home / "work").mkdir()

        def api(path, body=None):
            headers = {"Authorization": f"token {info['token']}"}
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(info["url"] + "api/" + path, data, headers)
            with urllib.request.urlopen(request, timeout=DEADLINE) as response:
                return json.load(response)

        session = {"path": "work/a.ipynb", "name": "a", "type": "notebook"}
        kernel_id = api("sessions", session | {"kernel": {"name": "python3"}})["kernel"]["id"]
        file = runtime.folder / f"kernel-{kernel_id}.json"
        leave(runtime.client(file))
        (before,), _ = runtime.look()
        assert (before.id, before.notebook) == (kernel_id, "work/a.ipynb")
        assert before.server == info["url"]
        assert info["token"] not in repr(before)
        last_activity = api("status?no_track_activity=1")["last_activity"]
        runtime.look()
        assert api("status?no_track_activity=1")["last_activity"] == last_activity
        assert runtime.do("interrupt") == "Interrupted."
        assert runtime.do("restart") == "Restarted: its variables are gone."
        leave(runtime.client(file))
        (after,), _ = runtime.look()
        assert after.id == kernel_id
        assert after.pid != before.pid
        with urllib.request.urlopen(
            urllib.request.Request(
                info["url"] + "api/kernels/" + kernel_id,
                headers={"Authorization": f"token {info['token']}"},
                method="DELETE",
            ),
            timeout=DEADLINE,
        ):
            pass
        assert runtime.look() == ((), 0)


class TestCommand:
    def test_json(self, runtime):
        """A list of objects, one a kernel, in the order of their names."""
        runtime.fake("b", {"usage_request": USAGE})
        runtime.fake("a", {}, module="somebody_s_kernel")
        status, out, err = runtime.command("--json")
        assert (status, err) == (0, "")
        told = json.loads(out)
        assert [each["id"] for each in told] == ["a", "b"]
        assert [each["bulkhead"] for each in told] == [False, True]
        assert told[0]["cpu_percent"] >= 0
        assert told[1]["cell"] == {"execution_count": 12, "seconds": 83.5}

    def test_once(self, runtime):
        """A table of all columns in which something stands, however narrow; then the sum."""
        process = runtime.fake("0123456789", {"usage_request": USAGE})
        status, out, err = runtime.command("--once")
        assert (status, err) == (0, "")
        titles, line, row, empty, summary = out.splitlines()
        assert titles.split() == [
            "Name", "Kernel", "State", "Cell", "CPU", "Memory", "Peak", "Restarts", "Uptime", "Pid"
        ]  # fmt: skip
        assert set(line) == {"─"}
        assert re.split(r"  +", row.strip()) == [
            "01234567", "bulkhead", "busy", "[12] 1 min 23 s", "12 %", "80 MiB", "90 MiB", "2",
            "1 min 40 s", str(process.pid),
        ]  # fmt: skip
        assert (empty, summary) == ("", "1 kernel, 80 MiB of memory together")

    def test_nothing_runs(self, runtime):
        """A sentence says so to people, and an empty list to scripts."""
        assert runtime.command("--once") == (0, f"{NOBODY}\n", "")
        assert runtime.command("--json") == (0, "[]\n", "")

    def test_no_terminal(self, runtime):
        """The live view is not for a pipe; what is, is named."""
        status, out, err = runtime.command()
        assert (status, out) == (1, "")
        assert err.startswith("bulkhead: The live view needs a terminal, and this is none. ")
        assert "--once" in err
        assert err.count("\n") == 1

    def test_a_terminal(self, runtime):
        """On a terminal it is live, and q ends it, with a terminal as it was."""
        runtime.environment["TERM"] = "xterm"
        runtime.fake("0123456789", {"usage_request": USAGE})
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*COMMAND, "--interval", "0.2"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=runtime.environment,
        )
        os.close(theirs)
        seen = b""
        while b"01234567" not in seen:
            seen += os.read(ours, 65_536)
        os.write(ours, b"q")
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while some := os.read(ours, 65_536):
                seen += some
        os.close(ours)
        assert process.wait(DEADLINE) == 0
        assert b"Traceback" not in seen
        assert seen.rindex(b"\x1b[?1049l") > seen.rindex(b"\x1b[?1049h")

    def test_without_textual(self, monkeypatch, capsys):
        """That Textual is missing is told, how to get it, and what works without it."""
        monkeypatch.setitem(sys.modules, "textual", None)
        monkeypatch.setitem(sys.modules, "textual.app", None)
        monkeypatch.delitem(sys.modules, "bulkhead_kernel.kernelspec.top_app", raising=False)
        for stream in (sys.stdin, sys.stdout):
            monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        assert main(["top"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err == (
            "bulkhead: The live view needs Textual, which is not installed. "
            '`pip install "bulkhead-kernel[top]"` installs it; '
            "`bulkhead top --once` works without it.\n"
        )

    @pytest.mark.parametrize("value", ["0", "-1", "often", "nan", "inf", ""])
    def test_an_interval_that_makes_no_sense(self, capsys, value):
        """Seconds are a number, above nothing and below for ever."""
        with pytest.raises(SystemExit) as exit_:
            main(["top", f"--interval={value}"])
        assert exit_.value.code == 2
        assert "is not a number of seconds from 0.1 to 3600" in capsys.readouterr().err

    def test_once_does_not_import_textual(self, runtime):
        """Where Textual is not installed, --once and --json work."""
        code = (
            "import sys; sys.modules['textual'] = None\n"
            "from bulkhead_kernel.kernelspec.cli import main\n"
            "sys.exit(main(['top', '--once']))"
        )
        process = runtime.start("-c", code, stdout=subprocess.PIPE)
        assert process.stdout.read() == f"{NOBODY}\n"
        assert process.wait(DEADLINE) == 0
