"""Make the pictures in docs/images: `python tests/browser/screenshots.py`, then look at them.

Each picture is made in JupyterLab, in light and in dark.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import chromium
from chromium import expect
from serving import Server
from windows import NOTE_CONNECTIONS, Window

IMAGES = Path(__file__).parents[2] / "docs" / "images"
POLL = re.compile("/kernel_usage/get_usage/")
SIZE = {"width": 1100, "height": 900}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

# Native code that is called directly: no path of this machine is in the report.
CRASH = (
    "import ctypes\n\nlibc = ctypes.CDLL(None)\n\n\n"
    "def length(text):\n    return libc.strlen(text)",
    'print("half way", end="")\nlength(None)',
    'print("The next cell runs:", length(b"the variables are back"))',
)


def crash(window):
    """Show the report of a crash, and the next cell that runs."""
    window.run(0)
    window.run(1)
    window.shows(1, "KernelSegfault")
    window.ended(1)
    window.run(2)
    window.shows(2, "The next cell runs: 22")
    window.kernel_is("idle")


RESOURCES = (
    "import time\n\nimport numpy as np\n\n\ndef work(seconds):\n    end = time.time() + seconds\n"
    "    while time.time() < end:\n        sum(range(10_000))",
    "table = np.ones((4000, 4000))\nwork(0.4)",
    "pieces = []\nfor _ in range(12):\n    pieces.append(np.ones((1000, 2000)))\n    work(0.06)",
    "time.sleep(0.5)\nspike = np.ones((6000, 6000)); del spike\npieces.clear()\nwork(0.3)",
    "%resources",
)


def resources(window):
    """Draw what a few cells used."""
    last = len(RESOURCES) - 1
    for number in range(last):
        window.run(number)
        window.ended(number)
    window.run(last)
    window.ended(last)
    expect(window.output(last).locator("svg[role=img]")).to_be_visible()
    for number in range(last):  # the picture is what matters
        window.cell(number).evaluate("cell => cell.style.display = 'none'")


USAGE = (
    "import numpy as np\n\ntable = np.ones((9000, 9000))\nprint('begun')\nwhile True:\n    pass",
)


def usage(window):
    """Show the panel while a cell runs."""
    window.run(0)
    window.shows(0, "begun")
    with window.page.expect_response(POLL):
        window.page.get_by_role("tab", name="Kernel Usage").click()
    panel = window.page.locator(".jp-KernelUsage-view")
    expect(panel).to_contain_text("Memory")
    handles = "#jp-main-split-panel > .lm-SplitPanel-handle:not(.lm-mod-hidden)"
    window.drag(window.page.locator(handles).last, -220)
    with window.page.expect_response(POLL):
        pass


PICTURES = {"crash": (CRASH, crash), "resources": (RESOURCES, resources), "usage": (USAGE, usage)}
"""For each picture the cells of a notebook, and what is done with them."""
WHOLE = {"usage"}
"""Pictures of the whole window's width."""


def take(window, picture, theme):
    """Crop to the notebook: its toolbar, with the light, and its cells."""
    window.page.keyboard.press("Escape")
    window.page.mouse.move(0, 0)
    top = window.page.locator(".jp-NotebookPanel").bounding_box()
    if picture in WHOLE:
        top["width"] = SIZE["width"] - top["x"]
    bottom = window.page.locator(".jp-Notebook .jp-Cell").last.bounding_box()
    height = bottom["y"] + bottom["height"] + 12 - top["y"]
    height = max(height, 430) if picture in WHOLE else height
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / f"{picture}-{theme}.png"
    window.page.screenshot(path=path, clip={**top, "height": height}, animations="disabled")
    print(path, path.stat().st_size)


def main():
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as folder, chromium.running() as browser:
        for theme, title in THEMES.items():
            server = Server(Path(folder) / theme, theme=title)
            try:
                context = browser.new_context(viewport=SIZE)
                context.add_init_script(NOTE_CONNECTIONS)
                for picture, (cells, act) in PICTURES.items():
                    server.write(f"{picture}.ipynb", *cells)
                    window = Window(context.new_page())
                    window.open(server, "lab", f"{picture}.ipynb")
                    window.page.keyboard.press("Control+b")  # no sidebar
                    act(window)
                    take(window, picture, theme)
                context.close()
            finally:
                server.end()


if __name__ == "__main__":
    if reason := chromium.missing():
        sys.exit(reason)
    main()
