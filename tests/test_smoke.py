"""One notebook for each library that people use, run as they run it; its cells assert.

What is large, or a matter of one library, is in the dependency group ``smoke``, and skipped where
it is not installed.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
from command import Command

FOLDER = Path(__file__).parents[1] / "examples" / "smoke"
NEEDS = {
    "altair": ("altair", "pandas"),
    "asyncio": (),
    "bokeh": ("bokeh",),
    "debugpy": ("debugpy", "ipykernel"),
    "distributed": ("distributed",),
    "joblib": ("joblib",),
    "matplotlib": ("matplotlib", "ipympl"),
    "multiprocessing": (),
    "pandas": ("pandas", "jinja2"),
    "plotly": ("plotly", "nbformat"),
    "polars": ("polars",),
    "process_pool": (),
    "rich": ("rich",),
    "threads": (),
    "torch": ("torch",),
    "tqdm": ("tqdm", "ipywidgets"),
    "trio": ("trio",),
}
"""The modules without which a notebook cannot be run."""


def test_each_notebook_has_a_row():
    """A new notebook is run, too."""
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NEEDS)


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_smoke(name, tmp_path):
    """Every cell of it ends well, and nothing is left of what it started."""
    missing = [module for module in NEEDS[name] if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed (pip install --group smoke)")
    command = Command(tmp_path)
    shutil.copy(FOLDER / f"{name}.ipynb", command.notebook)
    status, out, err = command.run("--timeout", "100")
    assert status == 0, out + err
