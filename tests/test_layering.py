"""The layers of the house, held by reading the imports."""

from __future__ import annotations

import ast
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

PACKAGES = ("shared", "worker", "supervisor", "kernelspec")
ALLOWED = {
    "shared": (),
    "worker": ("shared",),
    "supervisor": ("shared", "worker.zygote", "worker.options"),
    "kernelspec": ("shared",),
}
FORBIDDEN = {
    "shared": ("zmq", "IPython", "jupyter_client", "msgspec"),
    "worker": ("zmq", "jupyter_client", "psutil"),
    "supervisor": ("IPython", "multiprocess", "traitlets", "msgspec"),
    "kernelspec": ("IPython",),
}
LATE = {("wire.py", "msgspec.json")}  # once so much text was printed that it is worth its memory


def folder(package):
    return Path(str(files(f"bulkhead_kernel.{package}")))


def modules(package):
    return sorted(folder(package).glob("*.py"))


def imports(path, package, *, at_run_time=False):
    """Give what a module imports, absolute: 'shared.frames', 'zmq'."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    if at_run_time:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped.update(map(id, ast.walk(node)))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                skipped.update(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = {0: "", 1: package, 2: ""}[node.level]
            name = ".".join(part for part in (base, node.module) if part)
            if (node.level and not node.module) or (node.level == 2 and node.module in PACKAGES):
                yield from (f"{name}.{alias.name}" for alias in node.names)
            else:
                yield name


def test_every_folder_of_code_is_installed():
    """A wheel has what the checkout has: a folder that pyproject.toml forgets is not in it."""
    root = Path(__file__).parents[1]
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {
        path.parent.relative_to(root) for name in PACKAGES for path in root.glob(f"{name}/**/*.py")
    }
    assert sorted(listed) == sorted(".".join(("bulkhead_kernel", *each.parts)) for each in folders)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_is_beneath_it(package):
    """shared imports nothing of ours; worker never supervisor; supervisor only worker's entry."""
    wrong = [
        (path.name, name)
        for path in modules(package)
        for name in imports(path, package)
        if name.split(".")[0] in PACKAGES
        and name.split(".")[0] != package
        and not name.startswith(ALLOWED[package])
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_leaves_alone_what_is_another_s(package):
    """The worker knows no sockets, the supervisor no IPython."""
    wrong = [
        (path.name, name)
        for path in modules(package)
        for name in imports(path, package)
        if name.split(".")[0] in FORBIDDEN[package] and (path.name, name) not in LATE
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_names_its_own_by_their_place(package):
    """Imports of ours are relative, so that nothing slips past the other rules of this page."""
    wrong = [
        (path.name, name)
        for path in modules(package)
        for name in imports(path, package)
        if name.split(".")[0] == "bulkhead_kernel"
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_there_are_no_circles(package):
    """What a module imports when it is loaded never leads back to it."""
    edges = {
        path.stem: {
            name.split(".")[1]
            for name in imports(path, package, at_run_time=True)
            if name.startswith(f"{package}.")
        }
        for path in modules(package)
    }

    def reach(start):
        seen, todo = set(), list(edges[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += edges.get(name, ())
        return seen

    assert [name for name in edges if name in reach(name)] == []
