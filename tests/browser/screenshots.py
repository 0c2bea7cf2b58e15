"""Make the pictures in docs/images: `python tests/browser/screenshots.py`, then look at them.

Each picture is made in JupyterLab, in light and in dark.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import chromium
from serving import Server
from windows import NOTE_CONNECTIONS, Window

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZE = {"width": 1100, "height": 900}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

# Native code that is called directly: no path of this machine is in the report.
CRASH = (
    "import ctypes\n\nlibc = ctypes.CDLL(None)\n\n\n"
    "def length(text):\n    return libc.strlen(text)",
    'print("half way", end="")\nlength(None)',
    'print("The next cell runs.")',
)


def crash(window):
    """Show the report of a crash, and the next cell that runs."""
    window.run(0)
    window.run(1)
    window.shows(1, "KernelSegfault")
    window.ended(1)
    window.run(2)
    window.shows(2, "The next cell runs.")
    window.kernel_is("idle")


PICTURES = {"crash": (CRASH, crash)}
"""For each picture the cells of a notebook, and what is done with them.

Kernel Usage and %resources come here, once the kernel has them.
"""


def take(window, picture, theme):
    """Crop to the notebook: its toolbar, with the light, and its cells."""
    window.page.keyboard.press("Escape")
    window.page.mouse.move(0, 0)
    top = window.page.locator(".jp-NotebookPanel").bounding_box()
    bottom = window.page.locator(".jp-Notebook .jp-Cell").last.bounding_box()
    height = bottom["y"] + bottom["height"] + 12 - top["y"]
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
