"""The command line ``bulkhead``, but for ``run``: kernelspecs installed, listed and removed."""

import json
import os
import stat
import subprocess
import sys
import sysconfig
from importlib import metadata, resources
from pathlib import Path
from types import SimpleNamespace

import pytest
from bulkhead_kernel.kernelspec.cli import main
from bulkhead_kernel.kernelspec.install import is_pip_s
from bulkhead_kernel.kernelspec.spec import is_ours
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_core.paths import SYSTEM_JUPYTER_PATH

PACKAGED = resources.files("bulkhead_kernel.kernelspec")
FILES = {"kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"}
DEADLINE = 60


class _Listed(type(Path())):
    """A file as the list of a distribution has it."""

    def locate(self):
        return self


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch):
    """Keep the tests out of the user's own folders."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """A folder to install to, in which Jupyter looks."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "prefix" / "share" / "jupyter"))
    return tmp_path / "prefix"


def kernels(prefix):
    return prefix / "share" / "jupyter" / "kernels"


def read(folder):
    return json.loads((folder / "kernel.json").read_text(encoding="utf-8"))


def expected(**changes):
    spec = json.loads((PACKAGED / "kernel.json").read_text(encoding="utf-8"))
    spec["argv"][0] = sys.executable
    spec["metadata"] |= {"debugger": True}  # debugpy is installed where the tests run
    return spec | changes


def somebodys_spec(prefix, name, argv):
    folder = kernels(prefix) / name
    folder.mkdir(parents=True)
    spec = {"argv": argv, "display_name": "Somebody's", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    return folder


def usage_error(capsys, *arguments):
    """Run a command line that makes no sense; give what stands on stderr after the usage."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: bulkhead")
    return err.rpartition("error: ")[2]


def failure(capsys, *arguments):
    """Run a command that cannot be done; give the one line on stderr that says why."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bulkhead: ")
    assert err.count("\n") == 1
    return err.removeprefix("bulkhead: ").rstrip("\n")


class TestPackage:
    def test_pip_alone_makes_the_kernel_appear(self):
        """Installing the distribution is enough for Jupyter to find the kernel, as packaged."""
        folder = Path(KernelSpecManager().find_kernel_specs()["bulkhead"])
        assert folder == Path(sys.prefix, "share", "jupyter", "kernels", "bulkhead")
        assert {file.name for file in folder.iterdir()} == FILES
        for name in FILES:
            assert (folder / name).read_bytes() == (PACKAGED / name).read_bytes()

    def test_the_packaged_spec_is_what_frontends_need(self):
        """Interrupts come as messages, and VS Code cannot take the spec for ipykernel's."""
        spec = KernelSpecManager().get_kernel_spec("bulkhead")
        assert spec.display_name == "Python 3 (Bulkhead)"
        assert spec.language == "python"
        assert spec.interrupt_mode == "message"
        assert spec.kernel_protocol_version == "5.6"
        assert spec.metadata == {"supported_encryption": ["curve"]}
        assert spec.argv == [
            "python", "-m", "bulkhead_kernel.supervisor", "-f", "{connection_file}"
        ]  # fmt: skip
        assert "ipykernel" not in spec.to_json()

    def test_the_command_stands_beside_python(self):
        """pip installs a command ``bulkhead``, and ``python -m`` does the same without it."""
        version = f"bulkhead {metadata.version('bulkhead-kernel')}\n"
        script = Path(sysconfig.get_path("scripts"), "bulkhead")
        for command in ([script], [sys.executable, "-m", "bulkhead_kernel.kernelspec"]):
            said = subprocess.check_output([*command, "--version"], text=True, timeout=DEADLINE)
            assert said == version

    def test_listing_imports_nothing_slow(self):
        """Only ``run`` imports what running needs."""
        code = (
            "import sys; from bulkhead_kernel.kernelspec.cli import main; main(['list']);"
            "assert not {'nbclient', 'nbformat', 'rich'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE)


class TestInstall:
    def test_without_options_it_is_the_packaged_spec_on_this_python(self, prefix, capsys):
        """The installed spec is the packaged one, but that the interpreter is this very one."""
        assert main(["install", "--prefix", str(prefix)]) == 0
        folder = kernels(prefix) / "bulkhead"
        assert read(folder) == expected()
        assert {file.name for file in folder.iterdir()} == FILES
        assert capsys.readouterr() == (
            f"Installed bulkhead (Python 3 (Bulkhead)) in {folder}\n",
            "",
        )

    def test_all_options_stand_in_the_spec(self, prefix):
        """Name, display name, profile and variables are what was asked for."""
        options = ["--name", "Mine-3.1_x", "--display-name", "Мой [kernel]", "--profile", "work"]
        variables = ["--env", "A", "b=c d", "--env", "EMPTY", "", "--env", "A", "last"]
        assert main(["install", "--prefix", str(prefix), *options, *variables]) == 0
        spec = expected(display_name="Мой [kernel]", env={"A": "last", "EMPTY": ""})
        spec["argv"].append("--profile=work")
        assert read(kernels(prefix) / "mine-3.1_x") == spec

    @pytest.mark.parametrize(
        ("options", "display_name"),
        [
            (["--name", "other"], "Python 3 (Bulkhead) [other]"),
            (["--profile", "work"], "Python 3 (Bulkhead) [profile=work]"),
            (["--name", "other", "--profile", "work"], "Python 3 (Bulkhead) [other]"),
        ],
    )
    def test_two_specs_look_different(self, prefix, options, display_name):
        """Without a display name, the name or the profile tells a spec from the default one."""
        assert main(["install", "--prefix", str(prefix), *options]) == 0
        (folder,) = kernels(prefix).iterdir()
        assert read(folder)["display_name"] == display_name

    def test_for_the_user(self, tmp_path):
        """--user installs into the user's own folder."""
        assert main(["install", "--user"]) == 0
        assert read(tmp_path / "data" / "kernels" / "bulkhead") == expected()

    def test_for_the_environment(self, tmp_path, monkeypatch):
        """--sys-prefix installs into the environment that the command is in."""
        monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
        assert main(["install", "--sys-prefix"]) == 0
        assert read(kernels(tmp_path / "env") / "bulkhead") == expected()

    def test_others_can_read_it(self, prefix):
        """The folder has the mode that the user's umask gives, not that of a private copy."""
        before = os.umask(0o022)
        try:
            assert main(["install", "--prefix", str(prefix)]) == 0
        finally:
            os.umask(before)
        folder = kernels(prefix) / "bulkhead"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}

    def test_a_second_installation_replaces_the_first(self, prefix):
        """Nothing of an earlier installation stays."""
        assert main(["install", "--prefix", str(prefix), "--env", "OLD", "1"]) == 0
        (kernels(prefix) / "bulkhead" / "old.txt").touch()
        assert main(["install", "--prefix", str(prefix)]) == 0
        assert read(kernels(prefix) / "bulkhead") == expected()
        assert {file.name for file in (kernels(prefix) / "bulkhead").iterdir()} == FILES

    def test_it_says_so_if_jupyter_will_not_find_it(self, tmp_path, capsys):
        """Who does not look there is told, and who does: perhaps it was meant for another one."""
        elsewhere = tmp_path / "elsewhere"
        assert main(["install", "--prefix", str(elsewhere)]) == 0
        assert capsys.readouterr().err == (
            f"The Jupyter of {sys.prefix} does not look there. One that is installed in "
            f"{elsewhere} does, and any with JUPYTER_PATH={elsewhere / 'share' / 'jupyter'}.\n"
        )

    def test_it_says_so_if_pip_will_write_it_anew(self, tmp_path, monkeypatch, capsys):
        """The packaged spec's place is the package's, and what else is there stays."""
        place = kernels(tmp_path / "env")
        packaged = Path("share", "jupyter", "kernels", "bulkhead", "kernel.json")
        monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
        monkeypatch.setenv("JUPYTER_PATH", str(place.parent))
        package = SimpleNamespace(files=[_Listed(tmp_path / "env" / packaged)])
        monkeypatch.setattr(metadata, "distributions", lambda **_: [package])
        for name in ("bulkhead", "other"):
            assert main(["install", "--sys-prefix", "--name", name]) == 0
        out, err = capsys.readouterr()
        assert out.count("\n") == 2
        assert err == (
            "pip writes this kernelspec anew when it upgrades the package; under another --name "
            "one stays as it is.\n"
        )

    def test_pip_lists_the_packaged_spec(self):
        """The real list of the real package has it."""
        assert is_pip_s(Path(sys.prefix, "share", "jupyter", "kernels", "bulkhead"))
        assert not is_pip_s(Path(sys.prefix, "share", "jupyter", "kernels", "python3"))

    def test_the_installed_kernel_runs(self, prefix, tmp_path):
        """Jupyter starts the installed spec on this Python, with its profile and its variables."""
        (tmp_path / "ipython" / "profile_work").mkdir(parents=True)
        options = ["--name", "ready", "--env", "GREETING", "good day", "--profile", "work"]
        assert main(["install", "--prefix", str(prefix), *options]) == 0
        manager = KernelManager(kernel_name="ready")
        manager.start_kernel()
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=DEADLINE)
            expressions = {
                "variable": "__import__('os').environ['GREETING']",
                "profile": "get_ipython().profile",
                "python": "__import__('sys').executable",
            }
            reply = client.execute("", user_expressions=expressions, reply=True, timeout=DEADLINE)[
                "content"
            ]["user_expressions"]
        finally:
            client.stop_channels()
            manager.shutdown_kernel()
        said = {name: value["data"]["text/plain"] for name, value in reply.items()}
        assert said == {
            "variable": "'good day'",
            "profile": "'work'",
            "python": repr(sys.executable),
        }


class TestRefusals:
    @pytest.mark.parametrize("name", ["", "a b", "naïve", "a/b", "a\n", ".", "..", "$x"])
    @pytest.mark.parametrize("command", ["install --name", "uninstall"])
    def test_a_bad_name(self, command, name, capsys):
        """Jupyter's rule for names holds, and no name is another folder: '..' would empty one."""
        assert usage_error(capsys, *command.split(), name).endswith(
            f"{name!r} cannot be the name of a kernel: "
            "only ASCII letters, digits, '-', '.' and '_' can, and not dots alone.\n"
        )

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ("", "the following arguments are required: command\n"),
            ("instal", "invalid choice: 'instal'"),
            ("list --all", "unrecognized arguments: --all\n"),
            ("install --usr", "unrecognized arguments: --usr\n"),
            ("install --sys", "unrecognized arguments: --sys\n"),
            ("install --user --sys-prefix", "not allowed with argument --user\n"),
            ("install --env ONE", "argument --env: expected 2 arguments\n"),
            ("install --env A=B C", "'A=B' cannot be the name of a variable\n"),
            ("install --prefix=", "argument --prefix: it must not be empty\n"),
            ("install --display-name=", "argument --display-name: it must not be empty\n"),
            ("run", "the following arguments are required: NOTEBOOK\n"),
            ("run x.ipynb --timeout 0", "'0' is not a whole number of seconds above 0\n"),
            ("run x.ipynb --timeout soon", "'soon' is not a whole number of seconds above 0\n"),
        ],
    )
    def test_a_command_line_that_makes_no_sense(self, arguments, words, capsys):
        """What is not understood is named, the exit status is 2, and nothing is done."""
        assert words in usage_error(capsys, *arguments.split())

    def test_a_prefix_that_is_a_file(self, tmp_path, capsys):
        """What the file system refuses is told with the path and the reason."""
        file = tmp_path / "file"
        file.touch()
        assert failure(capsys, "install", "--prefix", str(file)) == (
            f"The kernelspec cannot be installed: {file}/share: Not a directory. "
            "Choose another folder with --prefix."
        )

    def test_a_folder_that_is_read_only(self, monkeypatch, capsys):
        """Whoever may not install for everybody learns how to install for himself."""

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied", "/usr/local/share/jupyter")

        # Faked, because root may write anywhere.
        monkeypatch.setattr(KernelSpecManager, "install_kernel_spec", refuse)
        assert failure(capsys, "install") == (
            "The kernelspec cannot be installed: /usr/local/share/jupyter: Permission denied. "
            f"Use --user, or --sys-prefix for the environment in {sys.prefix}."
        )

    @pytest.mark.parametrize(
        ("place", "folder"),
        [
            (["--prefix", "/opt/p"], "/opt/p/share/jupyter"),
            (["--user"], "data"),
            ([], SYSTEM_JUPYTER_PATH[0]),
        ],
    )
    def test_a_spec_of_somebody_else_s(self, tmp_path, monkeypatch, capsys, place, folder):
        """Where an earlier one cannot be removed, the whole path is told, and not its file's."""

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied", "kernel.json")

        monkeypatch.setattr(KernelSpecManager, "install_kernel_spec", refuse)
        path = tmp_path / folder / "kernels" / "bulkhead" / "kernel.json"
        words = failure(capsys, "install", *place)
        assert words.startswith(f"The kernelspec cannot be installed: {path}: Permission denied. ")

    def test_a_folder_in_the_way(self, prefix, capsys):
        """A file where the kernelspec should be is told of, and stays."""
        kernels(prefix).mkdir(parents=True)
        (kernels(prefix) / "bulkhead").write_text("mine")
        words = failure(capsys, "install", "--prefix", str(prefix))
        assert f"{kernels(prefix)}/bulkhead: File exists" in words
        assert (kernels(prefix) / "bulkhead").read_text() == "mine"


class TestList:
    def test_ours_are_listed_and_nobody_elses(self, prefix, capsys):
        """A spec is ours if it starts our supervisor: name, folder and Python are shown."""
        gone = str(prefix / "gone" / "python")
        folder = somebodys_spec(prefix, "stale", [gone, "-m", "bulkhead_kernel.supervisor"])
        somebodys_spec(prefix, "other", [sys.executable, "-m", "another_kernel"])
        somebodys_spec(prefix, "odd", "bulkhead_kernel.supervisor")
        (kernels(prefix) / "broken").mkdir()
        (kernels(prefix) / "broken" / "kernel.json").write_text("{")
        assert main(["install", "--prefix", str(prefix), "--name", "new"]) == 0
        capsys.readouterr()
        assert main(["list"]) == 0
        out, err = capsys.readouterr()
        assert out == (
            "bulkhead (Python 3 (Bulkhead))\n"
            f"    in {sys.prefix}/share/jupyter/kernels/bulkhead\n"
            "    on the python that runs Jupyter\n"
            "new (Python 3 (Bulkhead) [new])\n"
            f"    in {kernels(prefix)}/new\n"
            f"    on {sys.executable}\n"
            "stale (Somebody's)\n"
            f"    in {folder}\n"
            f"    on {gone}, which is gone\n"
        )
        assert err == ""

    @pytest.mark.parametrize("spec", [None, [], {}, {"argv": None}, {"argv": ["python"]}])
    def test_what_is_not_ours(self, spec):
        """Whatever somebody's kernel.json holds is looked at without fear."""
        assert not is_ours(spec)


class TestUninstall:
    @pytest.fixture
    def folder(self, prefix, capsys):
        assert main(["install", "--prefix", str(prefix), "--name", "mine"]) == 0
        capsys.readouterr()
        return kernels(prefix) / "mine"

    @pytest.mark.parametrize("name", ["mine", "MINE"])
    def test_it_removes_the_folder(self, folder, name, capsys):
        """Names are Jupyter's: capitals do not count."""
        assert main(["uninstall", name, "-y"]) == 0
        assert not folder.exists()
        assert capsys.readouterr() == (f"Removed {folder}\n", "")

    @pytest.mark.parametrize(("answer", "removed"), [("y", True), ("", False), ("no", False)])
    def test_it_asks_first(self, folder, monkeypatch, answer, removed):
        """Without -y only a yes removes anything."""
        questions = []
        monkeypatch.setattr("builtins.input", lambda text: questions.append(text) or answer)
        assert main(["uninstall", "mine"]) == (0 if removed else 1)
        assert questions == [f"Remove {folder}? [y/N] "]
        assert folder.exists() is not removed

    def test_it_does_not_wait_where_nobody_answers(self, folder):
        """Without a terminal the question is a refusal that names -y."""
        done = subprocess.run(
            [sys.executable, "-m", "bulkhead_kernel.kernelspec", "uninstall", "mine"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode == 1
        assert done.stderr == "bulkhead: Nobody is here to answer. -y removes without asking.\n"
        assert folder.exists()

    def test_one_that_is_not_there(self, capsys):
        """A missing spec is an error that says where to look."""
        assert failure(capsys, "uninstall", "nobody", "-y") == (
            "No kernelspec named 'nobody' is installed; see `bulkhead list`."
        )

    def test_one_that_is_not_ours(self, prefix, capsys):
        """Somebody else's kernel is never removed."""
        folder = somebodys_spec(prefix, "other", [sys.executable, "-m", "another_kernel"])
        assert failure(capsys, "uninstall", "other", "-y") == (
            f"The kernelspec 'other' in {folder} is not one of Bulkhead's, so it stays. "
            "`jupyter kernelspec remove other` removes any kernel's."
        )
        assert folder.exists()
