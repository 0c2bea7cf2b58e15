"""A Jupyter server of this environment on loopback, with Bulkhead installed by its own command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from contextlib import suppress

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

DEADLINE = 60
"""Seconds after which a server that is not ready, or not gone, will never be."""

OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",  # one that is free
    "--LabApp.extension_manager=readonly",
)


def settings(theme):
    """Ask the internet nothing, nor the user whether to ask it."""
    return {
        "@jupyterlab/apputils-extension:themes": {"theme": theme},
        "@jupyterlab/apputils-extension:notification": {
            "fetchNews": "false",
            "checkForUpdates": False,
        },
    }


def private_environment(folder):
    """Give an environment in which Jupyter finds and leaves nothing outside the folder."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    return env | {
        "HOME": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_PATH": str(folder / "installed" / "share" / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "xdg"),
        "XDG_STATE_HOME": str(folder / "state"),
    }


class Server:
    """JupyterLab and Notebook, two extensions of one server; ready when it is constructed."""

    def __init__(self, folder, theme="JupyterLab Light", options=()):
        self.root = folder / "notebooks"
        self.root.mkdir(parents=True)
        self.log = folder / "server.log"
        self.url = self.token = None
        env = private_environment(folder)
        self._configure(folder / "config" / "labconfig", settings(theme))
        self._install(folder / "installed", env, options)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *OPTIONS, f"--notebook-dir={self.root}"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._told = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._told.wait(DEADLINE) or self.url is None:
            self.end()
            raise AssertionError(f"the server did not start:\n{self.log.read_text()}")

    @staticmethod
    def _configure(folder, overrides):
        folder.mkdir(parents=True)
        (folder / "default_setting_overrides.json").write_text(json.dumps(overrides))

    @staticmethod
    def _install(prefix, env, options):
        command = [sys.executable, "-m", "bulkhead_kernel.kernelspec", "install"]
        subprocess.run(
            [*command, "--prefix", prefix, *options],
            env=env,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=DEADLINE,
        )

    def _read(self):
        """Keep what the server says; when it is ready, it says its address."""
        with self.log.open("w", encoding="utf-8") as log:
            for line in self._process.stderr:
                log.write(line)
                log.flush()
                address = re.search(r"(http://127\.0\.0\.1:\d+)/lab\?token=(\w+)", line)
                if address and self.url is None:
                    self.url, self.token = address.groups()
                    self._told.set()
        self._told.set()

    def write(self, name, *codes):
        """Write a notebook of cells that have not been run."""
        spec = {"name": "bulkhead", "display_name": "Python 3 (Bulkhead)", "language": "python"}
        cells = [new_code_cell(code) for code in codes]
        book = new_notebook(cells=cells, metadata={"kernelspec": spec})
        nbformat.write(book, self.root / name)

    def ask(self, path, method="GET"):
        """Ask the REST API; give what its JSON says."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            return json.loads(response.read() or "null")

    def end_kernels(self):
        """End the kernels of all notebooks."""
        for session in self.ask("/api/sessions"):
            self.ask(f"/api/sessions/{session['id']}", "DELETE")

    def end(self):
        """End the server and, with it, its kernels."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stderr.close()
