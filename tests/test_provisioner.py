"""The provisioner: Restart keeps the supervisor, with jupyter_client's managers and a server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

import psutil
import pytest
from bulkhead_kernel.kernelspec.cli import main
from bulkhead_kernel.kernelspec.provisioner import Provisioner
from bulkhead_kernel.kernelspec.spec import PROVISIONER
from frontend import DEADLINE, listens, wait_gone
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager, KernelManager

TICK = 0.02
STUBBORN = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('held')
while True: pass
"""


@pytest.fixture(autouse=True)
def jupyter(tmp_path, monkeypatch):
    """A Jupyter of the test's own, where the kernel is installed with the provisioner."""
    for name in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    assert main(["install", "--prefix", str(tmp_path), "--provisioner"]) == 0
    return tmp_path


class Managed:
    """A kernel that jupyter_client manages, and a client of it."""

    def __init__(self, **options):
        self.manager = KernelManager(kernel_name="bulkhead", **options)
        self.manager.start_kernel()
        self.connect()

    def connect(self):
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=DEADLINE)

    @property
    def pid(self):
        return self.manager.provisioner.process.pid

    def execute(self, code):
        return self.client.execute_interactive(
            code, timeout=DEADLINE, output_hook=lambda _: None, user_expressions={"it": "it"}
        )["content"]

    def value(self, expression):
        reply = self.execute(f"it = {expression}")
        return reply["user_expressions"]["it"]["data"]["text/plain"]

    def assert_fresh(self):
        """Assert that the kernel serves, and that its interpreter is a new one."""
        reply = self.execute("it = 'left' in globals()")
        assert reply["user_expressions"]["it"]["data"]["text/plain"] == "False"
        assert reply["execution_count"] == 1
        assert self.manager.is_alive()

    def end(self):
        self.client.stop_channels()
        family = [self.pid, *(p.pid for p in psutil.Process(self.pid).children(recursive=True))]
        self.manager.shutdown_kernel()
        assert all(wait_gone(pid, DEADLINE) for pid in family)
        assert not self.manager.is_alive()


@pytest.fixture
def managed():
    kernels = []

    def start(**options):
        kernels.append(Managed(**options))
        return kernels[-1]

    yield start
    for kernel in kernels:
        kernel.client.stop_channels()
        if kernel.manager.has_kernel:
            kernel.manager.shutdown_kernel(now=True)
        kernel.manager.context.destroy(linger=0)


class TestInstalling:
    def test_is_opt_in(self, jupyter):
        """Only `--provisioner` names it in the spec: where it is missing, no kernel would start."""
        file = Path(KernelSpecManager().get_kernel_spec("bulkhead").resource_dir, "kernel.json")
        spec = json.loads(file.read_text())
        assert spec["metadata"] == {
            "supported_encryption": ["curve"],
            "debugger": True,  # debugpy is installed where the tests run
            "kernel_provisioner": {"provisioner_name": PROVISIONER},
        }
        assert "--restart-in-place" not in spec["argv"]
        assert main(["install", "--prefix", str(jupyter)]) == 0
        assert "kernel_provisioner" not in json.loads(file.read_text())["metadata"]

    def test_jupyter_finds_it(self):
        """It is an entry point of the package, under the name that the spec has."""
        (found,) = entry_points(group="jupyter_client.kernel_provisioners", name=PROVISIONER)
        assert found.load() is Provisioner

    def test_imports_neither_zmq_nor_ipython_of_its_own(self):
        """It runs in Jupyter's server: what it imports is what is there anyhow."""
        code = (
            "import sys, jupyter_client; before = set(sys.modules)\n"
            "import bulkhead_kernel.kernelspec.provisioner\n"
            "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
            "print(*sorted(new & {'bulkhead_kernel', 'IPython', 'psutil', 'rich', 'nbclient'}))"
        )
        said = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=DEADLINE)
        assert said == "bulkhead_kernel\n"


class TestRestart:
    @pytest.mark.parametrize("encryption", ["disabled", "auto"])
    def test_keeps_the_supervisor(self, managed, encryption):
        """G24: its process, ports and sockets stay, and so do its clients; the variables go."""
        kernel = managed(transport_encryption=encryption)
        pid, info = kernel.pid, kernel.manager.get_connection_info()
        for _ in range(3):
            kernel.execute("left = 1")
            kernel.manager.restart_kernel()
            assert kernel.pid == pid
            kernel.assert_fresh()
        assert kernel.manager.get_connection_info() == info
        assert kernel.client.hb_channel.is_beating()
        kernel.end()

    def test_is_over_when_it_says_so(self, managed):
        """A cell that is sent right after it is run, by the new worker, and never refused."""
        kernel = managed()
        for _ in range(10):
            kernel.execute("left = 1")
            kernel.manager.restart_kernel()
            kernel.assert_fresh()

    def test_of_a_cell_that_does_not_listen(self, managed):
        """G31: within the time that jupyter_client gives; the supervisor is kept even then."""
        kernel = managed()
        pid = kernel.pid
        request = kernel.client.execute(STUBBORN)
        while kernel.client.get_iopub_msg(timeout=DEADLINE)["msg_type"] != "stream":
            pass
        kernel.manager.restart_kernel()
        reply = kernel.client.get_shell_msg(timeout=DEADLINE)
        assert reply["parent_header"]["msg_id"] == request
        assert reply["content"]["status"] == "error"
        assert kernel.pid == pid
        kernel.assert_fresh()

    def test_by_another_client_is_not_the_managers(self, managed):
        """It restarts the worker; the manager's own restart waits for its own."""
        kernel = managed()
        pid = kernel.pid
        other = BlockingKernelClient(connection_file=kernel.manager.connection_file)
        other.load_connection_file()
        other.start_channels()
        try:
            other.wait_for_ready(timeout=DEADLINE)
            for _ in range(3):
                kernel.execute("left = 1")
                other.shutdown(restart=True)
                assert other.get_control_msg(timeout=DEADLINE)["content"]["restart"] is True
                assert kernel.manager.is_alive()
                kernel.assert_fresh()
            other.shutdown(restart=True)
            kernel.manager.restart_kernel()
            assert kernel.pid == pid
            kernel.assert_fresh()
        finally:
            other.stop_channels()
            other.context.destroy(linger=0)

    def test_in_an_event_loop(self):
        """As in Jupyter's server, whose manager is asynchronous."""

        async def restart():
            manager = AsyncKernelManager(kernel_name="bulkhead")
            await manager.start_kernel()
            client = manager.client()
            client.start_channels()
            try:
                await client.wait_for_ready(timeout=DEADLINE)
                pid = manager.provisioner.process.pid
                for _ in range(3):
                    await client.execute("left = 1", reply=True, timeout=DEADLINE)
                    await manager.restart_kernel()
                    assert manager.provisioner.process.pid == pid
                    reply = await client.execute("left", reply=True, timeout=DEADLINE)
                    assert reply["content"]["ename"] == "NameError"
            finally:
                client.stop_channels()
                await manager.shutdown_kernel()
            assert not await manager.is_alive()

        asyncio.run(restart())


class TestANewProcess:
    def test_when_it_is_to_be_killed(self, managed):
        """`now` is a kill, and a kill is a kill: of the supervisor and of all that is below it."""
        kernel = managed()
        kernel.execute("left = 1")
        family = [kernel.pid, *(p.pid for p in psutil.Process(kernel.pid).children(recursive=True))]
        assert len(family) == 3
        kernel.manager.restart_kernel(now=True)
        assert all(wait_gone(pid, DEADLINE) for pid in family)
        assert kernel.pid not in family
        kernel.client.wait_for_ready(timeout=DEADLINE)
        kernel.assert_fresh()

    def test_when_the_supervisor_died(self, managed):
        """G32: a restart then is a start, and the next one is in place again."""
        kernel = managed()
        old = kernel.pid
        os.kill(old, signal.SIGKILL)
        assert wait_gone(old, DEADLINE)
        assert not kernel.manager.is_alive()
        kernel.manager.restart_kernel()
        kernel.client.wait_for_ready(timeout=DEADLINE)
        assert kernel.pid != old
        pid = kernel.pid
        kernel.execute("left = 1")
        kernel.manager.restart_kernel()
        assert kernel.pid == pid
        kernel.assert_fresh()

    def test_when_it_dies_between_the_old_worker_and_the_launch(self, managed):
        """What was kept and is dead is not kept: nobody is left without a kernel."""
        kernel = managed()
        old = kernel.pid
        kernel.manager.shutdown_kernel(restart=True)
        assert kernel.manager.provisioner.process.poll() is None
        os.kill(old, signal.SIGKILL)
        assert wait_gone(old, DEADLINE)
        kernel.manager.start_kernel()
        kernel.client.wait_for_ready(timeout=DEADLINE)
        assert kernel.pid != old
        kernel.assert_fresh()

    def test_when_it_does_not_answer(self, managed):
        """A supervisor that is stopped is ended, as any other kernel that does not end."""
        kernel = managed(shutdown_wait_time=0.5)
        old = kernel.pid
        os.kill(old, signal.SIGSTOP)
        kernel.manager.restart_kernel()
        assert wait_gone(old, DEADLINE)
        kernel.client.wait_for_ready(timeout=DEADLINE)
        assert kernel.pid != old
        kernel.assert_fresh()

    def test_when_the_environment_has_changed(self, managed):
        """Jupyter renames a notebook in the environment of its kernel's next start."""
        kernel = managed()
        old = kernel.pid
        kernel.manager.restart_kernel(env={**os.environ, "BULKHEAD_TEST_NAME": "new"})
        kernel.client.wait_for_ready(timeout=DEADLINE)
        assert wait_gone(old, 0)
        assert kernel.value("__import__('os').environ['BULKHEAD_TEST_NAME']") == "'new'"
        pid = kernel.pid
        kernel.manager.restart_kernel()
        assert kernel.pid == pid, "it has not changed since"

    def test_when_it_is_to_have_other_ports(self, managed):
        """What listens on the old ones cannot stay."""
        kernel = managed(cache_ports=False)
        old, before = kernel.pid, kernel.manager.get_connection_info()
        kernel.client.stop_channels()
        kernel.manager.restart_kernel(newports=True)
        assert wait_gone(old, 0)
        assert kernel.manager.get_connection_info()["shell_port"] != before["shell_port"]
        kernel.connect()
        kernel.assert_fresh()

    def test_over_ipc(self, managed, tmp_path):
        """The manager removes the sockets at each restart: who stayed could not be reached."""
        kernel = managed(transport="ipc", ip=str(tmp_path / "k"))
        old = kernel.pid
        kernel.manager.restart_kernel()
        assert wait_gone(old, 0)
        kernel.client.stop_channels()
        kernel.connect()
        kernel.assert_fresh()
        kernel.end()


class TestTheEnd:
    def test_is_one(self, managed):
        """G31: a shutdown ends everything, also after restarts; our end of the pair is closed."""
        kernel = managed()
        for _ in range(3):
            kernel.manager.restart_kernel()
        kernel.end()
        assert kernel.manager.provisioner._channel is None

    def test_after_a_restart_that_nobody_finished(self, managed):
        """A kernel that was to be launched again, and never was, can still be ended."""
        kernel = managed()
        kernel.manager.shutdown_kernel(restart=True)
        assert not kernel.manager.is_alive()
        kernel.end()


class Server:
    """A Jupyter server, and its REST API."""

    def __init__(self, folder):
        options = ["--ip=127.0.0.1", "--port=0", "--no-browser", "--allow-root"]
        options += [f"--ServerApp.root_dir={folder}"]
        options += ["--AsyncIOLoopKernelRestarter.time_to_dead=0.2"]
        with (folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyter_server", *options], stderr=stderr
            )
        file = folder / "runtime" / f"jpserver-{self.process.pid}.json"
        self.info = self.wait_for(lambda: file.exists() and file.read_text())
        self.info = json.loads(self.info)
        self.wait_for(lambda: listens(self.info["url"]))

    def wait_for(self, look):
        """Wait for what the server does by itself, which nothing tells us of."""
        tick = threading.Event()
        for _ in range(int(DEADLINE / TICK)):
            if found := look():
                return found
            assert self.process.poll() is None
            tick.wait(TICK)
        raise AssertionError("the server did not do it")

    def api(self, path, body=None):
        headers = {"Authorization": f"token {self.info['token']}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.info["url"] + "api/" + path, data, headers)
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            return json.load(response)

    def supervisor(self):
        """Give the pid of the only kernel, 0 if there is none.

        A server has other children for a while; only a kernel's has a connection file.
        """
        pids = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if any("kernel-" in argument for argument in child.cmdline()):
                    pids.append(child.pid)
        return pids[0] if len(pids) == 1 else 0

    def end(self):
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        self.process.wait(DEADLINE)
        assert all(wait_gone(child.pid, DEADLINE) for child in children)


@pytest.fixture
def server(jupyter):
    server = Server(jupyter)
    yield server
    server.end()


class TestAServer:
    def test_restarts_in_place(self, server, jupyter):
        """What JupyterLab's button does: the answer comes when the kernel has answered."""
        kernel_id = server.api("kernels", {"name": "bulkhead"})["id"]
        client = BlockingKernelClient(
            connection_file=str(jupyter / "runtime" / f"kernel-{kernel_id}.json")
        )
        client.load_connection_file()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=DEADLINE)
            pid = server.supervisor()
            assert pid
            for _ in range(3):
                client.execute("left = 1", reply=True, timeout=DEADLINE)
                assert server.api(f"kernels/{kernel_id}/restart", {})["id"] == kernel_id
                assert server.supervisor() == pid
                reply = client.execute("left", reply=True, timeout=DEADLINE)["content"]
                assert (reply["ename"], reply["execution_count"]) == ("NameError", 1)
            os.kill(pid, signal.SIGKILL)  # the server's own restarter is still the net below
            new = server.wait_for(lambda: (found := server.supervisor()) != pid and found)
            client.wait_for_ready(timeout=DEADLINE)
            server.api(f"kernels/{kernel_id}/restart", {})
            assert server.supervisor() == new
        finally:
            client.stop_channels()
            client.context.destroy(linger=0)
