"""Every promise of docs/guarantees.md has a test that names it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "guarantees.md"


def kept():
    """Give the numbers that stand above 'Not yet kept'."""
    page = PAGE.read_text(encoding="utf-8").partition("## Not yet kept")[0]
    return set(re.findall(r"^- \*\*(G\d+)\*\*", page, re.MULTILINE))


def named():
    """Give the numbers in the docstrings of tests, and of classes of tests."""
    numbers = set()
    for path in TESTS.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_test = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            if is_test or (isinstance(node, ast.ClassDef) and node.name.startswith("Test")):
                numbers.update(re.findall(r"\bG\d+\b", ast.get_docstring(node) or ""))
    return numbers


def test_every_promise_that_is_kept_is_named_by_a_test():
    """A promise without a test is a hope."""
    assert len(kept()) > 30
    assert sorted(kept() - named()) == []


def test_every_promise_has_one_number():
    """Numbers are never given twice, and none is left out."""
    numbers = re.findall(r"^- \*\*G(\d+)\*\*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, numbers)) == list(range(1, 43))
