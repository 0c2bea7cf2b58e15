"""What a start imports, and what it does not: a user waits for each module."""

from __future__ import annotations

import json
import subprocess
import sys

SUPERVISOR = "import bulkhead_kernel.supervisor.start"
ZYGOTE = """
import importlib
from bulkhead_kernel.worker import main, zygote
zygote._import_multiprocess()
for name in zygote._PRELOADED:
    importlib.import_module(name)
"""
BOTH = "import bulkhead_kernel.supervisor.both"


def modules(code):
    """Give what is imported by a fresh interpreter that runs ``code``."""
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps([*sys.modules]))"],
        check=True, capture_output=True,
    )  # fmt: skip
    return set(json.loads(told.stdout))


def test_the_supervisor_answers_without_what_is_seldom_wanted():
    """kernel_info waits for no debugger, no usage, no metrics, no TLS and no temporary files."""
    unwanted = {"psutil", "ssl", "tempfile", "asyncio", "prometheus_client", "jupyter_core"}
    unwanted |= {f"bulkhead_kernel.supervisor.{name}" for name in ("debugger", "metrics")}
    assert modules(SUPERVISOR) & unwanted == set()


def test_the_zygote_imports_no_more_than_a_worker_needs():
    """No zmq, no dill, no names of HTML."""
    unwanted = {"dill", "zmq", "html", "psutil", "importlib.resources"}
    assert modules(ZYGOTE) & unwanted == set()


def test_what_is_imported_before_the_fork_is_needed_by_both():
    """Neither process waits for what the other one wants."""
    before = modules(BOTH) - {"bulkhead_kernel.supervisor", "bulkhead_kernel.supervisor.both"}
    assert before - modules(SUPERVISOR) == set()
    assert before - modules(ZYGOTE) == set()
