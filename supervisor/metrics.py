"""Metrics for Prometheus, served on loopback or on a socket of the file system. Opt-in.

Nothing is counted here: whoever scrapes makes the kernel answer the same question that a client
asks with usage_request, so that there is one truth, and none is kept warm for nobody.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import queue
import socket
import socketserver
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from . import events
from .errors import MetricsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from .inboxes import Inboxes

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds that a scrape waits for the answer; a kernel that is ending gives none."""

_SILENCE = 2.0
"""Seconds that a client may say nothing."""


def serve(address: str, inboxes: Inboxes) -> Server:
    """Serve on '127.0.0.1:PORT' (0 for any) or 'unix:PATH'. Raises MetricsError, with words."""
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app  # noqa: PLC0415 - optional
    except ImportError:
        raise MetricsError(
            "--metrics needs the package prometheus-client. "
            'Install it with: pip install "bulkhead-kernel[metrics]"'
        ) from None
    registry = CollectorRegistry()
    registry.register(Collector(inboxes))
    try:
        server = _bind(address)
    except OSError as error:
        why = error.strerror or str(error)
        raise MetricsError(f"--metrics: {address} cannot be used: {why}.") from None
    server.set_app(make_wsgi_app(registry))
    return Server(server)


class Server:
    """Serves in a thread of its own, until it is stopped."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server
        self._path = server.path if isinstance(server, _UnixServer) else ""
        port = server.server_port
        self.address = f"unix:{self._path}" if self._path else f"http://127.0.0.1:{port}/metrics"
        """Where it serves."""
        log.info("metrics on %s", self.address)
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def _run(self) -> None:
        # Not serve_forever(): it looks twice a second if it is to end, and an idle kernel sleeps.
        while True:
            self._server.handle_request()

    def stop(self) -> None:
        """Leave nothing behind. The thread is a daemon, and ends with the process."""
        if self._path:
            with suppress(OSError):
                Path(self._path).unlink()


class Collector:
    """Asks the kernel what it uses, and says it in Prometheus' terms."""

    def __init__(self, inboxes: Inboxes) -> None:
        self._inboxes = inboxes

    def describe(self) -> list[Metric]:
        """Give no names in advance: registering must not ask."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give the metrics of this moment; none if the kernel does not answer."""
        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._inboxes.control.put(events.UsageAsked(answers.put))
        try:
            content = answers.get(timeout=_PATIENCE)
        except queue.Empty:
            return
        yield from metrics(content)


def metrics(content: dict[str, Any]) -> Iterator[Metric]:
    """Say the content of a usage_reply in Prometheus' terms. Bytes and seconds."""
    from prometheus_client.core import (  # noqa: PLC0415 - optional
        CounterMetricFamily,
        GaugeMetricFamily,
        SummaryMetricFamily,
    )

    ours = content["bulkhead"]
    for name, text, value in (
        (
            "memory_bytes",
            "Memory of the whole kernel, shared pages counted in part",
            content["kernel_memory"],
        ),
        ("worker_memory_bytes", "Memory of the interpreter and its children", ours["memory"]),
        ("worker_resident_memory_bytes", "The same, shared pages counted whole", ours["resident"]),
        ("worker_peak_memory_bytes", "The most resident memory so far", ours["peak"]),
        ("worker_swap_bytes", "Memory that was moved to disk", ours["swap"]),
        ("memory_limit_bytes", "The memory limit; 0 for none", ours["limit"] or 0),
        ("worker_threads", "Threads of the interpreter", ours["threads"]),
        ("worker_children", "Processes that the interpreter has started", ours["children"]),
        ("uptime_seconds", "Since the kernel's start", ours["uptime"]),
        ("cell_seconds", "Since the running cell's start", (ours["cell"] or {}).get("seconds", 0)),
    ):
        yield GaugeMetricFamily(f"bulkhead_{name}", text, value)
    state = GaugeMetricFamily("bulkhead_state", "1 for the present state", labels=["state"])
    state.add_metric([ours["state"]], 1)
    yield state
    cpu = "Processor time of the present interpreter and its children"
    yield CounterMetricFamily("bulkhead_worker_cpu_seconds", cpu, ours["cpu"])
    cells = CounterMetricFamily("bulkhead_cells", "Cells by outcome", labels=["outcome"])
    for outcome, number in ours["cells"].items():
        cells.add_metric([outcome], number)
    yield cells
    deaths = CounterMetricFamily("bulkhead_deaths", "Interpreters that died", labels=["reason"])
    for reason, number in ours["restarts"].items():
        deaths.add_metric([reason], number)
    yield deaths
    started = "Interpreters that were started after the first one"
    yield CounterMetricFamily("bulkhead_restarts", started, max(0, ours["generation"] - 1))
    heard = ours["interrupts"]
    latency = "From an interrupt to the interpreter's hearing it"
    yield SummaryMetricFamily(
        "bulkhead_interrupt_latency_seconds", latency, heard["heard"], heard["seconds"]
    )


class _Handler(WSGIRequestHandler):
    timeout = _SILENCE

    def handle(self) -> None:
        """Serve one request; a client that says nothing, or goes, keeps nobody waiting."""
        try:
            super().handle()
        except OSError as error:
            log.info("metrics: a scrape came to nothing: %s", error)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is there
        """Keep scrapes out of the log."""

    def address_string(self) -> str:
        """Give no name: there is none on a socket of the file system."""
        return "local"


class _UnixServer(socketserver.UnixStreamServer, WSGIServer):
    """WSGI on a socket of the file system."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path, _Handler)

    def server_bind(self) -> None:
        mask = os.umask(0o177)  # the owner's alone
        try:
            socketserver.UnixStreamServer.server_bind(self)
        finally:
            os.umask(mask)
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("local", 0)


def _bind(address: str) -> WSGIServer:
    kind, _, path = address.partition(":")
    if kind == "unix":
        path = path.replace("{pid}", str(os.getpid()))
        if not path:
            raise MetricsError(
                "--metrics must be 127.0.0.1:PORT or unix:PATH; the path is missing."
            )
        with suppress(FileNotFoundError):
            if Path(path).is_socket() and not _is_served(path):
                Path(path).unlink()  # a kernel of this name ended without cleaning up
        return _UnixServer(path)
    host, port = check(address)
    return WSGIServer((host, port), _Handler)


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_SILENCE)
        try:
            client.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:  # it is somebody's, though not ours to talk to
            return True
    return True


def check(address: str) -> tuple[str, int]:
    """Read 'HOST:PORT'. Raises MetricsError for anything but a port of this machine's own."""
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        local = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        local = False
    if not local or not (port.isascii() and port.isdigit()) or int(port) > 65535:  # noqa: PLR2004 - the last port
        raise MetricsError(
            f"--metrics must be 127.0.0.1:PORT or unix:PATH, not {address!r}. Who asks from "
            "elsewhere goes through a proxy: what a kernel does is nobody else's business."
        )
    return host, int(port)
