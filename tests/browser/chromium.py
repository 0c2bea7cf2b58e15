"""The browser of the system, driven by Playwright; and what to install where either is missing."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec

try:
    from playwright.sync_api import expect, sync_playwright
except ModuleNotFoundError:  # the tests are skipped, and say so
    expect = sync_playwright = None

DEADLINE = 20_000
"""Milliseconds after which what a page does not show will never be shown."""

NAMES = ("chromium", "chromium-browser", "google-chrome")

MODULES = (
    "ipywidgets",
    "jupyter_resource_usage",
    "jupyterlab",
    "matplotlib",
    "notebook",
    "pandas",
    "playwright",
    "tqdm",
)


def executable():
    """Give the path of the browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def missing():
    """Say what is missing, and how it is installed; None if nothing is."""
    modules = [name for name in MODULES if find_spec(name) is None]
    if modules:
        return f"without {', '.join(modules)}: pip install --group browser ."
    if executable() is None:
        return "without Chromium: apt-get install chromium fonts-dejavu-core, or the like"
    return None


def must_run():
    """In CI a missing browser is a failure."""
    return bool(os.environ.get("CI"))


@contextmanager
def running():
    """A browser; it is gone afterwards."""
    expect.set_options(timeout=DEADLINE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable(),
            # Root has no sandbox, and a small machine no shared memory to speak of.
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        try:
            yield browser
        finally:
            browser.close()
