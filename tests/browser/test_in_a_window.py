"""What notebooks show, and what people do with them, in JupyterLab and in Notebook."""

from __future__ import annotations

import os
import re

import pytest
from chromium import expect

BUSY_FOR_EVER = "print('begun')\nwhile True: pass"


def test_installed_kernel_is_on_offer_in_jupyterlab(new_window, server):
    """`bulkhead install` is all that it takes: the launcher shows the kernel, and it runs (G9)."""
    window = new_window()
    window.page.goto(f"{server.url}/lab/workspaces/launcher?token={server.token}")
    window.page.locator(".jp-LauncherCard[title='Python 3 (Bulkhead)']").first.click()
    runs_in_a_new_notebook(window)


def test_installed_kernel_is_on_offer_in_notebook(new_window, server):
    """The menu of new documents has the kernel; a notebook opens, and runs (G9)."""
    window = new_window()
    window.page.goto(f"{server.url}/tree?token={server.token}")
    window.page.get_by_text("New", exact=True).click()
    with window.page.expect_popup() as popup:
        window.page.get_by_role("menuitem", name="Python 3 (Bulkhead)").click()
    runs_in_a_new_notebook(new_window(popup.value))


def runs_in_a_new_notebook(window):
    window.connected(1)
    window.cell(0).locator(".jp-InputArea-editor").click()
    window.page.keyboard.insert_text("get_ipython().kernel.__module__")
    window.page.keyboard.press("Control+Enter")
    window.shows(0, "'bulkhead_kernel.")


def test_outputs(open_notebook):
    """Text and errors stand in their order, a figure is a picture, a table is one (G1, G5)."""
    window = open_notebook(
        "import os, sys\n"
        "print('one')\nprint('two', file=sys.stderr)\nos.system('echo three')\n"
        "print('four', end='')\n1 / 0",
        "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.title('Figure');",
        "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})",
    )
    window.run(0)
    window.shows(0, "division by zero")
    window.ended(0)
    outputs = window.cell(0).locator(".jp-OutputArea-output")
    *texts, error = outputs.all_inner_texts()
    assert texts == ["one\n", "two\n", "three\nfour"]
    assert re.match(r"-+\nZeroDivisionError +Traceback \(most recent call last\)\n", error)
    assert error.endswith("ZeroDivisionError: division by zero")
    expect(outputs.last.locator(".ansi-red-fg, .ansi-red-intense-fg").first).to_be_visible()
    window.run(1, 2)
    picture = window.output(1).locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    table = window.output(2).locator("table")
    expect(table.locator("th")).to_have_text(["", "a", "b", "0", "1"])
    expect(table.locator("td")).to_have_text(["1", "x", "2", "y"])
    for number in range(3):
        expect(window.prompt(number)).to_have_text(f"[{number + 1}]:")


def test_slider_and_progress(open_notebook):
    """A slider that is moved is heard by Python, which answers; tqdm.auto draws a bar (G13)."""
    window = open_notebook(
        "import ipywidgets\n"
        "slider, label = ipywidgets.IntSlider(value=20), ipywidgets.Label('unmoved')\n"
        "def answer(change): label.value = f'{change.new} times two is {2 * change.new}'\n"
        "slider.observe(answer, 'value')\n"
        "display(slider, label)",
        "from tqdm.auto import tqdm\nsum(tqdm(range(7)))",
        "slider.value",
    )
    window.run(0)
    window.shows(0, "unmoved")
    window.drag(window.output(0).locator(".noUi-handle"), 60)
    shown = window.output(0).locator(".widget-label").last
    expect(shown).to_have_text(re.compile("times two is"))
    value, double = map(int, re.findall(r"\d+", shown.inner_text()))
    assert 20 < value == double / 2
    window.run(1, 2)
    window.shows(2, str(value))
    expect(window.output(1).locator(".widget-hprogress")).to_be_visible()
    window.shows(1, "100%")
    window.shows(1, "7/7")


def test_input(open_notebook):
    """The question stands below what was printed before it; the answer reaches the cell (G7)."""
    window = open_notebook("print('before')\nname = input('Who? ')\nprint('Hello,', name)")
    window.run(0)
    field = window.output(0).locator("input")
    expect(field).to_be_visible()
    window.shows(0, "before")
    field.fill("Ada")
    field.press("Enter")
    window.shows(0, "Hello, Ada")
    assert window.output(0).inner_text().split("\n")[:1] == ["before"]


def test_interrupt_from_the_toolbar(open_notebook):
    """The cell ends as KeyboardInterrupt; what it had is still there (G29)."""
    window = open_notebook("kept = 'kept'\n" + BUSY_FOR_EVER, "kept")
    window.run(0)
    window.shows(0, "begun")
    window.kernel_is("busy")
    window.tool("Interrupt the kernel")
    window.shows(0, "KeyboardInterrupt")
    window.ended(0)
    window.run(1)
    window.shows(1, "'kept'")
    window.no_dialog()


def test_restart_from_the_menu(open_notebook):
    """A restart ends the cell that runs, and begins anew: no variables, and [1] (G31, G24)."""
    window = open_notebook("lost = 1\n" + BUSY_FOR_EVER, "lost")
    window.run(0)
    window.shows(0, "begun")
    before = len(window.connections())
    window.menu("Kernel", "kernelmenu:restart")
    window.page.locator(".jp-Dialog .jp-mod-accept").click()
    window.connected(before + 1)
    window.kernel_is("idle")
    window.run(1)
    window.shows(1, "NameError: name 'lost' is not defined")
    expect(window.prompt(1)).to_have_text("[1]:")
    window.no_dialog()


class TestMidCell:
    """A cell runs until the test lets it go."""

    @pytest.fixture
    def gate(self, server):
        path = server.root / "gate"
        os.mkfifo(path)
        yield path
        path.unlink()

    CELLS = "print('begun')\nopen('gate').read()\nkept = 'kept'\nprint('ended')", "kept"

    @staticmethod
    def let_go(gate):
        """Opening waits for the reader, which is the cell."""
        gate.write_bytes(b"")

    def test_second_tab_connects_at_once(self, open_notebook, gate):
        """The kernel answers a second tab within a second while a cell runs (G12, G34)."""
        first = open_notebook(*self.CELLS)
        first.run(0)
        first.shows(0, "begun")
        second = open_notebook()
        (milliseconds,) = second.connections()
        assert milliseconds < 1000
        second.run(1)
        expect(second.prompt(1)).to_have_text("[*]:")
        self.let_go(gate)
        first.shows(0, "ended")
        second.shows(1, "'kept'")
        second.kernel_is("idle")

    def test_closed_and_reopened(self, open_notebook, gate, server):
        """The cell goes on without the browser; the next window finds what it left (G35)."""
        window = open_notebook(*self.CELLS)
        window.run(0)
        window.shows(0, "begun")
        (before,) = server.ask("/api/sessions")
        window.page.close()
        window = open_notebook()
        window.run(1)
        expect(window.prompt(1)).to_have_text("[*]:")
        self.let_go(gate)
        window.shows(1, "'kept'")
        window.kernel_is("idle")
        (after,) = server.ask("/api/sessions")
        assert after["kernel"]["id"] == before["kernel"]["id"]
