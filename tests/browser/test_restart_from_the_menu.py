"""Restart in JupyterLab and in Notebook, where the provisioner keeps the supervisor (G31, G24)."""

from __future__ import annotations

import pytest
from chromium import expect
from serving import Server

PID = "import os; os.popen('ps -o ppid= -p ' + str(os.getppid())).read().strip()"
"""The supervisor's: the parent of the zygote, whose child the worker is."""


@pytest.fixture(scope="module")
def server(installed, tmp_path_factory):
    """A server whose kernelspec was installed with the provisioner."""
    server = Server(tmp_path_factory.mktemp("jupyter-server"), options=["--provisioner"])
    yield server
    server.end()


def supervisor(window):
    return window.output(2).inner_text().splitlines()[-1]


def restart(window):
    before = len(window.connections())
    window.menu("Kernel", "kernelmenu:restart")
    window.page.locator(".jp-Dialog .jp-mod-accept").click()
    window.connected(before + 1)
    window.kernel_is("idle")


def test_of_a_cell_that_runs(open_notebook):
    """It ends; then there are no variables, counting begins anew, and nothing asks anything."""
    window = open_notebook("lost = 1\nprint('begun')\nwhile True: pass", "lost", PID)
    window.run(2)
    window.ended(2)
    before = supervisor(window)
    window.run(0)
    window.shows(0, "begun")
    restart(window)
    window.run(1)
    window.shows(1, "NameError: name 'lost' is not defined")
    expect(window.prompt(1)).to_have_text("[1]:")
    window.ended(1)
    window.run(2)
    expect(window.prompt(2)).to_have_text("[2]:")
    assert supervisor(window) == before, "it has stayed"
    window.no_dialog()


def test_over_and_over(open_notebook):
    """The first cell after each restart is [1], and its output is all there."""
    window = open_notebook("'again' if 'left' in globals() else [left := 1, 'new'][1]")
    for _ in range(4):
        window.run(0)
        window.shows(0, "'new'")
        expect(window.prompt(0)).to_have_text("[1]:")
        restart(window)
    window.no_dialog()


def test_of_widgets(open_notebook):
    """A widget of the interpreter that is gone is one no more; a new one works."""
    window = open_notebook(
        "import ipywidgets\n"
        "slider, label = ipywidgets.IntSlider(value=20), ipywidgets.Label('unmoved')\n"
        "def answer(change): label.value = f'moved to {change.new}'\n"
        "slider.observe(answer, 'value')\n"
        "display(slider, label)"
    )
    for _ in range(2):
        window.run(0)
        window.shows(0, "unmoved")
        window.drag(window.output(0).locator(".noUi-handle"), 60)
        window.shows(0, "moved to")
        restart(window)
    window.no_dialog()
