"""Kernels for tests: one a module for tests that leave it as they found it, or one a test."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from frontend import Frontend, environment
from hypothesis import HealthCheck, settings

if settings.get_current_profile_name() == "default":  # on CI hypothesis chooses another by itself
    # How long it takes says something about the machine, and nothing about the code.
    settings.register_profile("slow", suppress_health_check=[HealthCheck.too_slow], deadline=None)
    settings.load_profile("slow")


class _Shared:
    """A kernel that tests share as long as none of them fails."""

    def __init__(self, factory, options):
        self._factory = factory
        self._options = options
        self._frontend = None

    def get(self):
        if self._frontend is None:
            self._frontend = Frontend(self._factory.mktemp("kernel"), **self._options)
        return self._frontend

    def give_back(self, *, good):
        frontend = self._frontend
        if good:
            try:
                frontend.settle()
            except BaseException:
                self._drop()
                raise
        else:
            self._drop()

    def _drop(self):
        frontend, self._frontend = self._frontend, None
        frontend.give_up()

    def end(self):
        if self._frontend is not None:
            frontend, self._frontend = self._frontend, None
            frontend.finish_or_give_up()


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory, request):
    """Start it with the module's KERNEL, if it has that."""
    shared = _Shared(tmp_path_factory, getattr(request.module, "KERNEL", {}))
    yield shared
    shared.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.failed_call = report.failed
    return report


@pytest.fixture
def frontend(shared_kernel, request):
    """The strict client of a kernel that the module's tests share; silent again after each."""
    frontend = shared_kernel.get()
    yield frontend
    shared_kernel.give_back(good=not getattr(request.node, "failed_call", True))


@pytest.fixture
def launch(tmp_path, request):
    """Start a kernel of the test's own, with options; a test that ends it calls ``end``."""
    frontends = []

    def start(**options):
        frontends.append(Frontend(tmp_path / f"kernel-{len(frontends)}", **options))
        return frontends[-1]

    yield start
    failed = getattr(request.node, "failed_call", True)
    for frontend in frontends:
        if frontend.context.closed:
            continue
        if failed:
            frontend.give_up()
        else:
            frontend.finish_or_give_up()


@pytest.fixture
def fresh(launch):
    """The strict client of a kernel of the test's own."""
    return launch()


@pytest.fixture(scope="session")
def kernelspec(tmp_path_factory):
    """The repository's kernelspec, installed for this interpreter where nothing else is."""
    folder = tmp_path_factory.mktemp("jupyter")
    spec = json.loads(Path(__file__).parent.parent.joinpath("kernelspec/kernel.json").read_text())
    spec["argv"][0] = sys.executable
    where = folder / "kernels" / "bulkhead"
    where.mkdir(parents=True)
    (where / "kernel.json").write_text(json.dumps(spec))
    env = environment(folder) | {
        "JUPYTER_PATH": str(folder),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        yield "bulkhead"
