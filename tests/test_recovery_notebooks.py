"""The notebooks of examples/smoke, with a death after the last cell: the names are what they were.

What is large, or a matter of one library, is skipped where it is not installed.
"""

from __future__ import annotations

import ast
import importlib.util
import shutil

import nbformat
import pytest
from frontend import Frontend
from recovery_cases import DIE
from test_recovery_cases import BACK, die, result, run
from test_smoke import FOLDER, NEEDS

REASONS = (
    "There was no newer snapshot: ",
    "They could not be restored: ",
    "The interpreter itself could not be restored: ",
)

DIGEST = """
def digest_of_names():
    import hashlib, pickle
    digests = {}
    for name, value in list(get_ipython().user_ns.items()):
        if not name.startswith('_') and name not in get_ipython().user_ns_hidden:
            try:
                digests[name] = hashlib.sha256(pickle.dumps(value)).hexdigest()[:16]
            except Exception:
                digests[name] = type(value).__name__
    return digests
"""


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_a_death_after_the_last_cell(name, tmp_path):
    """Every name that can be compared is equal, or the report says why there is none."""
    missing = [module for module in NEEDS[name] if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed (pip install --group smoke)")
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    frontend = Frontend(tmp_path / "kernel", options=["--recover=on"])
    try:
        for cell in book.cells:
            if cell.cell_type == "code":
                run(frontend, cell.source)
        run(frontend, DIGEST)
        names = digests(frontend)
        stable = {name: it for name, it in digests(frontend).items() if names.get(name) == it}
        assert stable
        report = die(frontend, DIE)
        if BACK in report:
            after = digests(frontend)
            assert {name: after.get(name) for name in stable} == stable
        else:
            assert any(words in report for words in REASONS), report
            assert result(run(frontend, "6 * 7")) == "42"
        print(name, len(stable), report[-600:])
    finally:
        frontend.give_up()


def digests(frontend):
    messages = run(frontend, "import sys; sys.stdout.write(repr(digest_of_names())); None")
    text = "".join(m.content["text"] for m in messages if m.type == "stream")
    return ast.literal_eval(text[text.index("{") : text.rindex("}") + 1])
