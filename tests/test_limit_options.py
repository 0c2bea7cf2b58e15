"""The options of limits: what they take, where they come from, and what is said of bad ones."""

from __future__ import annotations

import json
import subprocess

import pytest
from bulkhead_kernel.kernelspec.cli import main
from bulkhead_kernel.shared.limits import NO_LIMITS, SMALLEST, Limits
from bulkhead_kernel.supervisor.options import parse_options
from frontend import SUPERVISOR, environment

NAMES = ("BULKHEAD_MEMORY_LIMIT", "BULKHEAD_CPU_LIMIT", "BULKHEAD_CELL_TIMEOUT", "MEM_LIMIT")
GIB = 1 << 30


@pytest.fixture(autouse=True)
def _apart(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def limits(*argv):
    return parse_options([*argv]).policy.limits


class TestGood:
    def test_none_by_default(self):
        """Issue, 5: off by default."""
        assert limits() == NO_LIMITS

    def test_on_the_command_line(self):
        """Issue, 5: memory, processor time and time; supervisor and worker have the same."""
        options = parse_options(["--memory-limit=4GiB", "--cpu-limit", "10", "--cell-timeout=2.5"])
        assert options.policy.limits == options.worker.limits == Limits(4 * GIB, 10.0, 2.5)

    def test_in_the_environment_and_the_command_line_comes_first(self, monkeypatch):
        """Issue, 5: environment; 'none' takes a limit away."""
        for name, value in zip(NAMES[:3], ("2GiB", "3", "4"), strict=True):
            monkeypatch.setenv(name, value)
        assert limits() == Limits(2 * GIB, 3.0, 4.0)
        assert limits("--memory-limit=none", "--cpu-limit=none", "--cell-timeout=5") == Limits(
            0, 0.0, 5.0
        )

    def test_mem_limit_is_a_hint(self, monkeypatch):
        """Issue, 5: JupyterHub's MEM_LIMIT is the default; what was asked for comes first."""
        monkeypatch.setenv("MEM_LIMIT", str(3 * GIB))
        assert limits() == Limits(3 * GIB)
        assert limits("--memory-limit=1GiB") == Limits(GIB)
        assert limits("--memory-limit=none") == NO_LIMITS

    @pytest.mark.parametrize("hint", ["", "0", "plenty", "9" * 400, "-1"])
    def test_a_hint_that_makes_no_sense_is_none(self, monkeypatch, hint):
        """Issue, 5: it is not ours to judge, and no reason not to start."""
        monkeypatch.setenv("MEM_LIMIT", hint)
        assert limits() == NO_LIMITS

    def test_a_hint_that_is_too_small_is_the_smallest(self, monkeypatch):
        """Issue, 5: the interpreter has to fit."""
        monkeypatch.setenv("MEM_LIMIT", "1M")
        assert limits() == Limits(SMALLEST)


BAD = [
    *(f"--memory-limit={value}" for value in ("much", "-1", "4XiB", "1M", "9" * 400, "nan")),
    *(f"--cpu-limit={value}" for value in ("0", "-1", "nan", "inf", "soon")),
    *(f"--cell-timeout={value}" for value in ("0", "-1", "nan", "inf", "soon")),
    "--memory-limit=",
    "--measure-cells=maybe",
    "--subshells=maybe",
]


class TestBad:
    @pytest.mark.parametrize("argument", BAD)
    def test_is_refused_in_words(self, argument):
        """Issue, 5: a clear error that names the option and the value."""
        with pytest.raises(SystemExit) as refused:
            parse_options([argument])
        option, _, value = argument.partition("=")
        first = str(refused.value).split("\n")[0]
        assert first.startswith(f"bulkhead: {option}")
        assert value in first

    @pytest.mark.parametrize("name", NAMES[:3])
    def test_in_the_environment_too(self, monkeypatch, name):
        """Issue, 5: named as the option that it is."""
        monkeypatch.setenv(name, "much")
        with pytest.raises(SystemExit, match="'much'"):
            parse_options([])

    def test_the_kernel_does_not_start(self, tmp_path):
        """Issue, 5: at start, exit status not 0, no traceback."""
        done = subprocess.run(
            [*SUPERVISOR, "--memory-limit=much"],
            capture_output=True,
            text=True,
            check=False,
            env=environment(tmp_path),
            timeout=60,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("bulkhead: --memory-limit: 'much' is no amount of memory")
        assert "Traceback" not in done.stderr


class TestInstall:
    def test_the_limit_stands_in_the_spec(self, tmp_path):
        """Issue, 5: bulkhead install --memory-limit."""
        assert main(["install", "--prefix", str(tmp_path), "--memory-limit", "4GiB"]) == 0
        file = tmp_path / "share" / "jupyter" / "kernels" / "bulkhead" / "kernel.json"
        assert json.loads(file.read_text())["argv"][-1] == "--memory-limit=4GiB"

    @pytest.mark.parametrize("size", ["much", "0", "", "1M", "9" * 400])
    def test_a_bad_one_is_refused(self, tmp_path, capsys, size):
        """Issue, 5: what the kernel would refuse is refused before it is installed."""
        with pytest.raises(SystemExit) as refused:
            main(["install", "--prefix", str(tmp_path), "--memory-limit", size])
        assert refused.value.code == 2
        assert "--memory-limit" in capsys.readouterr().err
        assert not (tmp_path / "share").exists()
