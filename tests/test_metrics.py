"""--metrics: what Prometheus scrapes, where it may be served, and what is said of bad addresses."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
import urllib.request

import pytest
from bulkhead_kernel.supervisor import metrics
from bulkhead_kernel.supervisor.errors import MetricsError
from bulkhead_kernel.supervisor.inboxes import Inboxes
from frontend import SUPERVISOR, environment
from prometheus_client.parser import text_string_to_metric_families


def usage(frontend):
    parent = frontend.send("control", "usage_request")
    return frontend.recv("control", "usage_reply", parent).content["bulkhead"]


def scrape_unix(path):
    """Ask as a scraper does; give head and body."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := client.recv(1 << 16):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode(), body.decode()


def values(text):
    """Give the samples of the kernel's own metrics, by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_on_loopback(launch):
    """Issue, 6: memory, processor, cells by outcome, deaths by reason, restarts, latency."""
    frontend = launch(options=["--metrics=127.0.0.1:0", "--memory-limit=1GiB"])
    assert frontend.run("1") == [("result", "1")]
    frontend.run("1/0", "error")
    parent = frontend.execute("import os; os._exit(3)")
    frontend.recv_begin(parent)
    frontend.recv_crash(parent, "KernelExited")
    assert frontend.run("2") == [("result", "2")]
    address = usage(frontend)["metrics"]
    with urllib.request.urlopen(address, timeout=30) as answer:
        found = values(answer.read().decode())
    assert found["bulkhead_cells_total", "ok"] == 2
    assert found["bulkhead_cells_total", "error"] == 2
    assert found["bulkhead_cells_total", "aborted"] == 0
    assert found["bulkhead_deaths_total", "KernelExited"] == 1
    assert found["bulkhead_restarts_total",] == 1
    assert found["bulkhead_state", "idle"] == 1
    assert found["bulkhead_memory_limit_bytes",] == 1 << 30
    assert 0 < found["bulkhead_worker_memory_bytes",] < found["bulkhead_memory_bytes",]
    assert found["bulkhead_worker_cpu_seconds_total",] > 0
    assert found["bulkhead_interrupt_latency_seconds_count",] == 0
    frontend.settle()


def test_on_a_socket_of_the_file_system(launch, tmp_path):
    """Issue, 6: the owner's alone; its name may have the process id; gone with the kernel."""
    frontend = launch(options=[f"--metrics=unix:{tmp_path}/m-{{pid}}.sock"])
    path = tmp_path / f"m-{frontend.kernel.pid}.sock"
    assert frontend.run("1") == [("result", "1")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    head, body = scrape_unix(path)
    assert head.startswith("HTTP/1.0 200")
    assert values(body)["bulkhead_cells_total", "ok"] == 1
    assert usage(frontend)["metrics"] == f"unix:{path}"
    frontend.finish_kernel()
    assert not path.exists()


def test_a_client_that_says_nothing_does_not_keep_others_out(launch, tmp_path):
    """Issue, 6: whoever connects and stays silent is let go of after a while."""
    path = tmp_path / "m.sock"
    frontend = launch(options=[f"--metrics=unix:{path}"])
    assert frontend.run("1") == [("result", "1")]
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        assert scrape_unix(path)[0].startswith("HTTP/1.0 200")
    frontend.settle()


def test_while_a_cell_runs_and_with_no_worker(launch, tmp_path):
    """G36, issue 6: a scrape is a question like any other."""
    startup = tmp_path / "kernel-0" / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "die.py").write_text("import os; os._exit(7)")
    frontend = launch(options=[f"--metrics=unix:{tmp_path}/m"])
    parent = frontend.execute("1")
    while frontend.recv("iopub").entry != ("status", "idle"):
        pass
    frontend.recv_reply(parent, "error")
    found = values(scrape_unix(tmp_path / "m")[1])
    assert found["bulkhead_state", "broken"] == 1
    assert found["bulkhead_deaths_total", "KernelExited"] == 3
    frontend.give_up()


BAD = {
    "0.0.0.0:9000": "127.0.0.1:PORT or unix:PATH",
    "example.org:9000": "127.0.0.1:PORT or unix:PATH",
    ":9000": "127.0.0.1:PORT or unix:PATH",
    "127.0.0.1": "127.0.0.1:PORT or unix:PATH",
    "127.0.0.1:": "127.0.0.1:PORT or unix:PATH",
    "127.0.0.1:99999": "127.0.0.1:PORT or unix:PATH",
    "127.0.0.1:\N{SUPERSCRIPT TWO}": "127.0.0.1:PORT or unix:PATH",
    "127.0.0.1:-1": "127.0.0.1:PORT or unix:PATH",
    "unix:": "127.0.0.1:PORT or unix:PATH",
    "unix:/nowhere/at/all": "No such file",
    "unix:/" + "x" * 200: "too long",
    "unix:/dev/null": "in use",
}


class TestBadAddresses:
    @pytest.mark.parametrize("address", BAD)
    def test_are_refused_in_words(self, address):
        """Issue, 6: loopback or a socket of the file system; rule 8: what is wrong, with what."""
        with pytest.raises(MetricsError) as refused:
            metrics.serve(address, Inboxes())
        assert "--metrics" in str(refused.value)
        assert BAD[address] in str(refused.value)

    def test_a_port_that_is_taken(self):
        """Rule 8."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(MetricsError, match="in use"):
                metrics.serve(f"127.0.0.1:{port}", Inboxes())

    def test_another_kernel_s_socket_is_not_taken_away(self, tmp_path):
        """Issue, 6: one that nobody listens on any more is; one that lives is in use."""
        path = tmp_path / "m"
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            with pytest.raises(MetricsError, match="in use"):
                metrics.serve(f"unix:{path}", Inboxes())
            assert path.exists()
        server = metrics.serve(f"unix:{path}", Inboxes())
        server.stop()
        assert not path.exists()

    def test_the_kernel_does_not_start(self, tmp_path):
        """Issue, 5 and 6: a clear error at start, exit status not 0, and no traceback."""
        done = subprocess.run(
            [*SUPERVISOR, "--metrics=0.0.0.0:1"],
            capture_output=True,
            text=True,
            check=False,
            env=environment(tmp_path),
            timeout=60,
        )
        assert done.returncode == 1
        assert "bulkhead: --metrics must be 127.0.0.1:PORT or unix:PATH" in done.stderr
        assert "Traceback" not in done.stderr


def test_without_the_package_it_says_what_to_install(monkeypatch):
    """Issue, 6: prometheus_client is an extra."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MetricsError, match=r"bulkhead-kernel\[metrics\]"):
        metrics.serve("127.0.0.1:0", Inboxes())
