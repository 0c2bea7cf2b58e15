"""Cells that IPython need not look through come out as if it had."""

from __future__ import annotations

import pytest
from bulkhead_kernel.worker.transforming import Transformer
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

PIECES = [
    "x = 1", "f(y)", "if a:", "'''", '"""', "text", " ", "    ", "\t", "\n", "\n\n", "\\\n", "\r\n",
    "\f", "\u2028", "#", "(", ")", "[", "]", ",", ";", "/", "%", "%%", "%time", "!ls", "?", "??",
    ">>> ", "... ", "...: ", "In [1]: ", "In ",
    "[1]:", "[nav] ", "$", "é", "x?", "!=", "a % b", "->", ">>", "..",
]  # fmt: skip
CELLS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


@pytest.fixture
def looked_through(monkeypatch):
    """Note each cell that IPython has looked through."""
    found = []
    theirs = TransformerManager.transform_cell
    monkeypatch.setattr(
        TransformerManager,
        "transform_cell",
        lambda self, cell: (found.append(cell), theirs(self, cell))[1],
    )
    return found


@pytest.mark.filterwarnings("ignore:.make_tokens_by_line")
@given(CELLS)
def test_every_cell_is_as_ipython_makes_it(cell):
    """Whatever it holds: the pattern passes nothing that IPython would change."""
    assert Transformer().transform_cell(cell) == TransformerManager().transform_cell(cell)


@pytest.mark.parametrize(
    "cell",
    [
        "pass",
        "1 + 1\n",
        "def f(a, b):\n    return [a / b,\n            b]\n\nf(1, 2)",
        "x = '''a'''",
    ],
)
def test_plain_code_is_not_looked_through(cell, looked_through):
    assert Transformer().transform_cell(cell).rstrip("\n") == cell.rstrip("\n")
    assert looked_through == []


@pytest.mark.parametrize("cell", ["%time 1", "!ls", "x?", "  indented", "a % b", ",f a", ">>> 1"])
def test_what_may_be_special_is_left_to_ipython(cell, looked_through):
    Transformer().transform_cell(cell)
    assert looked_through == [cell]


@pytest.mark.parametrize("where", ["cleanup_transforms", "line_transforms"])
def test_a_transformation_of_the_user_s_sees_every_cell(where):
    transformer = Transformer()
    getattr(transformer, where).append(lambda lines: [line.upper() for line in lines])
    assert transformer.transform_cell("pass") == "PASS\n"
    transformer.settle()
    assert transformer.transform_cell("pass") == "pass\n"


def test_a_transformation_added_in_a_cell_holds_from_the_next_one_on(fresh):
    """As `get_ipython().input_transformers_cleanup` promises."""
    fresh.run("get_ipython().input_transformers_cleanup.append(lambda lines: ['6 * 7\\n'])")
    assert fresh.run("pass") == [("result", "42")]
