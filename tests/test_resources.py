"""%resources and %%resources over the real kernel: a picture that belongs to its cell."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

SETUP = "import asyncio, time"


@pytest.fixture(autouse=True)
def _setup(request):
    if "frontend" in request.fixturenames:
        assert request.getfixturevalue("frontend").run(SETUP) == []


def check(message):
    """A picture in both forms; give its text."""
    data = message.content["data"]
    assert set(data) == {"text/html", "text/plain"}
    assert ET.fromstring(data["text/html"]).tag == "svg"
    assert re.search("memory +[▁-█]{40}.*\nprocessor +[▁-█]{40}", data["text/plain"])
    return data["text/plain"]


def pictures(out):
    """Give the texts of the pictures of a cell."""
    kinds = ("display_data", "execute_result")
    return [check(message) for message in out.messages if message.type in kinds]


class TestLineMagic:
    def test_is_a_picture_of_the_kernel_s_life(self, frontend):
        """Issue, 3: HTML with an inline SVG, plain text beside it; long cells are in it."""
        frontend.run("time.sleep(0.5)")
        out = frontend.run("%resources")
        (told,) = pictures(out)
        assert told.startswith("This kernel, last 15 minutes\n")
        assert [kind for kind, _ in out] == ["result"]

    def test_of_as_many_minutes_as_one_likes(self, frontend):
        """Issue, 3: %resources 60."""
        (told,) = pictures(frontend.run("%resources 60"))
        assert told.startswith("This kernel, last 60 minutes\n")

    @pytest.mark.parametrize("line", ["many", "1 2", "--all"])
    def test_says_what_it_takes(self, frontend, line):
        """Rule 8: an error says what is wrong, and with what."""
        text = frontend.run(f"%resources {line}", "error")
        assert "number of minutes" in str(text.reply)

    def test_of_a_worker_that_took_over(self, fresh):
        """Issue, 3: the curve outlives the worker; what led to a death is there."""
        fresh.run("import time; time.sleep(0.4)")
        parent = fresh.execute("import os, time; time.sleep(0.4); os._exit(3)")
        fresh.recv_begin(parent)
        fresh.recv_crash(parent, "KernelExited")
        fresh.run("import time; time.sleep(0.4)")
        out = fresh.run("%resources")
        assert "died" in out.messages[0].content["data"]["text/html"]


class TestCellMagic:
    def test_shows_the_cell_s_own_curve_at_its_end(self, frontend):
        """Issue, 3: after its output, with its own time in the title."""
        out = frontend.run("%%resources\nprint('a'); time.sleep(0.3)\n1 + 1")
        assert [kind for kind, _ in out] == ["stdout", "result", "display"]
        told = check(out.messages[-1])
        assert re.match(r"This cell: 0\.[3-9]\d s, 0\.\d\d s of processor time, ", told)

    def test_may_await(self, frontend):
        """Issue, 3: the cell is run as it would be without the magic."""
        out = frontend.run("%%resources\nawait asyncio.sleep(0.2); print('a')")
        assert [kind for kind, _ in out] == ["stdout", "display"]

    def test_an_error_has_its_line_and_the_picture(self, frontend):
        """Issue, 3: the error is told as ever, in the line where it is."""
        out = frontend.run("%%resources\nx = 1\n1/0", "error")
        assert [kind for kind, _ in out] == ["error", "display"]
        assert "line 3" in "\n".join(out.reply["traceback"]) or "3 1/" in re.sub(
            r"\x1b\[[\d;]*m", "", "\n".join(out.reply["traceback"])
        )

    def test_belongs_to_its_cell(self, frontend):
        """G6: one picture for each cell that asks, and none for the next."""
        for _ in range(2):
            assert len(pictures(frontend.run("%%resources\npass"))) == 1
        assert frontend.run("pass") == []

    def test_a_silent_cell_leaves_none_behind(self, frontend):
        """G6: a silent execution shows nothing, and neither does the cell after it for its sake."""
        frontend.run("%%resources\npass", silent=True)
        assert frontend.run("pass") == []

    def test_elsewhere_it_is_an_error(self, frontend):
        """Rule 8: not in the first line, it says where it has to be."""
        out = frontend.run("%%resources now\npass", "error")
        assert "first line" in str(out.reply) or "first line" in str(out)


def test_where_nothing_is_measured_it_says_so(launch):
    """Issue, 3: --measure-cells=off leaves nothing to show."""
    frontend = launch(options=["--measure-cells=off"])
    for code in ("%resources", "%%resources\npass"):
        out = frontend.run(code, "error")
        assert "--measure-cells=off" in str(out.reply)
