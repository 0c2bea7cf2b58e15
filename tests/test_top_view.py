"""What ``bulkhead top`` shows of kernels: pure, so records go in and texts come out."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from bulkhead_kernel.kernelspec import top_kernel, top_view
from bulkhead_kernel.kernelspec.top_files import ConnectionFile
from bulkhead_kernel.kernelspec.top_kernel import Kernel
from bulkhead_kernel.kernelspec.top_kernels import How, Look, how_to_interrupt
from bulkhead_kernel.kernelspec.top_processes import Figures, cpu_percent
from bulkhead_kernel.kernelspec.top_servers import Server, Session
from bulkhead_kernel.kernelspec.top_table import COLUMNS, entry, fitting, heading, needed
from bulkhead_kernel.kernelspec.top_view import History, Order, in_order, sparkline

MIB = 1 << 20
FILE = ConnectionFile(
    Path("/run/kernel-0123456789.json"), "bulkhead", "tcp", "127.0.0.1", 1, 2, "sha256", b"key"
)
FOUND = top_kernel.found(FILE, 77, bulkhead=True)
REPLY = {
    "kernel_cpu": 150.5,
    "kernel_memory": 99 * MIB,
    "bulkhead": {
        "version": "0.1.0",
        "state": "busy",
        "generation": 3,
        "worker_pid": 78,
        "uptime": 100.0,
        "worker_uptime": 50.5,
        "threads": 4,
        "children": 1,
        "memory": 80 * MIB,
        "peak": 90 * MIB,
        "swap": 0,
        "limit": 100 * MIB,
        "cell": {"execution_count": 12, "seconds": 83.5},
        "restarts": {"KernelSegfault": 2},
        "cells": {"ok": 41, "error": 2, "aborted": 0},
        "snapshots": 0,
        "metrics": "http://127.0.0.1:9100/metrics",
    },
}
TOLD = top_kernel.with_reply(FOUND, REPLY)


def kernel(name, **fields):
    return Kernel(
        id=name,
        kernel_name="python3",
        connection_file=f"/run/{name}",
        bulkhead=False,
        pid=1,
        **fields,
    )


class TestRecord:
    def test_what_a_kernel_tells(self):
        """The record is the JSON: each field of the reply that belongs to it, and no other."""
        assert json.loads(json.dumps(asdict(TOLD))) == {
            "id": "0123456789",
            "kernel_name": "bulkhead",
            "connection_file": "/run/kernel-0123456789.json",
            "bulkhead": True,
            "notebook": None,
            "server": None,
            "pid": 77,
            "state": "busy",
            "cell": {"execution_count": 12, "seconds": 83.5},
            "cpu_percent": 150.5,
            "memory": 80 * MIB,
            "peak": 90 * MIB,
            "swap": 0,
            "limit": 100 * MIB,
            "uptime": 100.0,
            "worker_pid": 78,
            "worker_uptime": 50.5,
            "threads": 4,
            "children": 1,
            "restarts": {"KernelSegfault": 2},
            "cells": {"ok": 41, "error": 2, "aborted": 0},
            "metrics": "http://127.0.0.1:9100/metrics",
        }

    @pytest.mark.parametrize("own", [None, [], "busy", 1])
    def test_a_reply_that_is_not_ours(self, own):
        """A usage_reply without our part says nothing that the system does not know better."""
        assert top_kernel.with_reply(FOUND, {"kernel_cpu": 1.0, "bulkhead": own}) is None

    @pytest.mark.parametrize(
        "odd", [None, "many", [], {}, -1, True, math.nan, math.inf, 10**400, {"x": "y"}]
    )
    def test_a_reply_of_another_version(self, odd):
        """Each field may be missing or odd: it is unknown then, and the JSON stays JSON."""
        fields = dict.fromkeys(REPLY["bulkhead"], odd)
        told = top_kernel.with_reply(FOUND, {"kernel_cpu": odd, "bulkhead": fields})
        counts = {} if isinstance(odd, dict) else None
        text = odd if isinstance(odd, str) else None
        assert told == replace(FOUND, state=text, metrics=text, restarts=counts, cells=counts)
        json.dumps(asdict(told), allow_nan=False)

    def test_what_a_server_knows(self):
        """The notebook is the server's to tell; the state, only if the kernel does not."""
        server = Server("127.0.0.1", 8888, "/", "secret", 5)
        session = Session(server, "0123456789", "idle", "a/b.ipynb")
        told = top_kernel.with_session(TOLD, session)
        assert (told.notebook, told.server) == ("a/b.ipynb", "http://127.0.0.1:8888/")
        assert told.state == "busy"
        assert top_kernel.with_session(FOUND, session).state == "idle"
        assert top_kernel.with_session(FOUND, None) == FOUND
        assert "secret" not in repr(session)

    def test_what_the_system_knows(self):
        """Memory, threads and children are those of the kernel's processes."""
        figures = Figures(0.0, {1: 1.0, 2: 0.0}, 5 * MIB, 3, 60.0)
        told = top_kernel.with_figures(FOUND, figures, 20.0)
        expected = {"cpu_percent": 20.0, "memory": 5 * MIB, "uptime": 60.0, "threads": 3}
        assert told == replace(FOUND, children=1, **expected)
        assert top_kernel.with_figures(FOUND, None, None) == FOUND


class TestCpu:
    def test_a_percentage_of_a_time(self):
        """It is over all processes: a new one counts from its start, one that ended does not."""
        before = Figures(10.0, {1: 5.0, 2: 9.0}, 0, 1, 0)
        now = Figures(12.0, {1: 6.0, 3: 2.0}, 0, 1, 0)
        assert cpu_percent(before, now) == 150.0

    def test_it_needs_two_moments(self):
        """Of one moment alone there is no percentage."""
        now = Figures(12.0, {1: 6.0}, 0, 1, 0)
        assert cpu_percent(None, now) is None
        assert cpu_percent(now, now) is None


class TestSparkline:
    @pytest.mark.parametrize(
        ("values", "line"),
        [
            ([], ""),
            ([0, 0], "▁▁"),
            ([7], "█"),
            ([1, 2, 3, 4, 5, 6, 7, 8], "▂▃▄▅▆▇██"),
            ([0, 100, 50], "▁█▅"),
            ([None, 8, None], " █ "),
            ([None], " "),
        ],
    )
    def test_from_nothing_to_the_largest(self, values, line):
        """A block a value; what is not known is a gap."""
        assert sparkline(values) == line

    def test_the_last_samples(self):
        """Old samples make room, and a kernel that is gone leaves none to its successor."""
        history, one, two = History(3), kernel("one", memory=4), kernel("one", memory=8)
        for each in (one, one, two, two):
            history.add([each])
        assert history.line(one) == "▅██"
        history.add([])
        history.add([two])
        assert history.line(two) == "  █"
        assert history.line(kernel("other")) == "   "


class TestOrder:
    KERNELS = (
        kernel("b", cpu_percent=1.0, memory=30, uptime=5.0),
        kernel("c", notebook="A.ipynb", cpu_percent=None, memory=20, uptime=7.0),
        kernel("d", cpu_percent=90.0, memory=None, uptime=5.0),
    )

    @pytest.mark.parametrize(
        ("order", "ids"),
        [
            (Order("name"), "cbd"),
            (Order("name", upside_down=True), "dbc"),
            (Order("cpu"), "dbc"),
            (Order("cpu", upside_down=True), "bdc"),
            (Order("memory"), "bcd"),
            (Order("uptime"), "cbd"),
            (Order("uptime", upside_down=True), "bdc"),
        ],
    )
    def test_largest_first_and_unknown_last(self, order, ids):
        """Names go up, figures go down, r turns both; the unknown is last either way."""
        assert "".join(each.id for each in in_order(self.KERNELS, order)) == ids
        assert "".join(each.id for each in in_order(self.KERNELS[::-1], order)) == ids


class TestTexts:
    @pytest.mark.parametrize(
        ("count", "text"),
        [
            (None, top_view.UNKNOWN),
            (0, "0 MiB"),
            (MIB - 1, "1 MiB"),
            (1023 * MIB, "1023 MiB"),
            (1024 * MIB, "1.0 GiB"),
            (1536 * MIB, "1.5 GiB"),
        ],
    )
    def test_size(self, count, text):
        """Sizes read as in the kernel's reports."""
        assert top_view.size(count) == text

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (None, top_view.UNKNOWN),
            (0.9, "0 s"),
            (59.9, "59 s"),
            (60, "1 min 0 s"),
            (3600, "1 h 0 min"),
            (86_399, "23 h 59 min"),
            (90_000, "1 d 1 h"),
        ],
    )
    def test_duration(self, seconds, text):
        """A time is told by its two largest units."""
        assert top_view.duration(seconds) == text

    def test_a_row(self):
        """A kernel of ours fills each column."""
        assert [entry(column, TOLD).plain for column in COLUMNS] == [
            "01234567", "bulkhead", "busy", "[12] 1 min 23 s", "150 %", "80 MiB", "90 MiB",
            "100 MiB", "2", "1 min 40 s", "77",
        ]  # fmt: skip

    def test_a_row_of_dashes(self):
        """What is not known is a dash."""
        texts = [entry(column, kernel("x", state="busy")).plain for column in COLUMNS]
        assert texts == ["x", "python3", "busy", *"–––––––", "1"]  # noqa: RUF001

    def test_no_cell_is_not_an_unknown_one(self):
        """Where it is known that no cell runs, nothing stands."""
        assert top_view.cell(kernel("x", state="idle")) == ""
        assert top_view.cell(kernel("x")) == top_view.UNKNOWN

    def test_a_long_name(self):
        """Of a long path the end is shown."""
        text = entry(COLUMNS[0], kernel("x", notebook="folder/" * 9 + "n.ipynb")).plain
        assert (len(text), text[0], text[-8:]) == (30, "…", "/n.ipynb")

    @pytest.mark.parametrize(
        ("memory", "limit", "text"),
        [(74, 100, ""), (75, 100, "tight"), (90, 100, "full"), (9, None, ""), (None, 9, "")],
    )
    def test_near_the_limit(self, memory, limit, text):
        """Memory near its limit is marked before it is too late."""
        assert top_view.tightness(kernel("x", memory=memory, limit=limit)) == text

    def test_details(self):
        """What the table has no room for stands beneath it."""
        assert top_view.details(TOLD) == (
            "bulkhead kernel 0123456789, pid 77, interpreter: pid 78, up 50 s\n"
            "4 threads, 1 child, cells: 41 ok, 2 error, 0 aborted, deaths: 2 KernelSegfault"
        )
        assert top_view.details(kernel("x")) == "python3 kernel x, pid 1\n"

    def test_summary(self):
        """One line tells how many there are; files that lead nowhere are mentioned."""
        assert top_view.summary(Look((TOLD,), 0)) == "1 kernel, 80 MiB of memory together"
        two = Look((kernel("x"), kernel("y")), 1)
        assert top_view.summary(two) == "2 kernels; 1 connection file without a kernel"


class TestColumns:
    def test_a_narrow_terminal(self):
        """What does not fit is left out, the least important first; the heart stays."""

        def titles(width):
            return [column.title for column in fitting(COLUMNS, [TOLD], width)]

        everything = [column.title for column in COLUMNS]
        assert titles(1000) == everything
        assert titles(109) == everything
        assert titles(90) == [title for title in everything if title not in {"Pid", "Kernel"}]
        assert titles(1) == ["Name", "State", "Cell", "CPU", "Memory"]

    def test_a_column_in_which_nothing_stands(self):
        """A table that is printed once has no empty columns."""
        titles = [column.title for column in needed(COLUMNS, [kernel("x", memory=1)])]
        assert titles == ["Name", "Kernel", "Memory", "Pid"]

    def test_the_mark_of_the_order(self):
        """The column by which the table is sorted tells so."""
        told = {order: [heading(each, order) for each in COLUMNS] for order in MARKS}
        assert {order: titles[4:6] for order, titles in told.items()} == MARKS


MARKS = {
    Order("cpu"): ["CPU▼", "Memory"],
    Order("memory", upside_down=True): ["CPU", "Memory▲"],
    Order("name"): ["CPU", "Memory"],
}


@pytest.mark.parametrize(
    ("ours", "has_server", "is_ipykernel", "how"),
    [
        (True, True, False, How.CONTROL),
        (True, False, False, How.CONTROL),
        (False, True, True, How.SERVER),
        (False, True, False, How.SERVER),
        (False, False, True, How.SIGNAL),
        (False, False, False, How.NOT),
    ],
)
def test_how_a_kernel_is_interrupted(ours, has_server, is_ipykernel, how):
    """A signal goes only to those that are known to survive it."""
    told = how_to_interrupt(ours=ours, has_server=has_server, is_ipykernel=is_ipykernel)
    assert told is how
