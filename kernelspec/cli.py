"""The command line: ``bulkhead install | uninstall | list | run | top``.

Outcomes are told here; what is done stands in the other modules. The exit status is 0 if it was
done, 1 if it was not, for a reason that stands on stderr, and 2 for a command line that makes no
sense.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import arguments
from . import spec as specs
from .errors import CommandError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

FAILED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; give the exit status. Raises SystemExit(2) for a bad one."""
    options = arguments.parse(argv)
    commands = {
        "install": _install,
        "uninstall": _uninstall,
        "list": _list,
        "run": _run,
        "top": _top,
    }
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: any text can be told
    try:
        commands[options.command](options)
        sys.stdout.flush()
    except CommandError as error:
        print(f"bulkhead: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("bulkhead: Interrupted.", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # Whoever read has gone. Python flushes once more at its exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return 0


# What a command needs is imported when it runs: Jupyter's modules are slow to import.


def _install(options: argparse.Namespace) -> None:
    from . import install  # noqa: PLC0415

    spec = specs.build(
        sys.executable,
        name=options.name,
        display_name=options.display_name,
        env=options.env,
        profile=options.profile,
        memory_limit=options.memory_limit,
        provisioner=options.provisioner,
    )
    destination = install.Destination(user=options.user, prefix=options.prefix)
    folder = install.install(options.name, spec, destination)
    print(f"Installed {options.name} ({spec['display_name']}) in {folder}")
    if not install.is_searched(folder):
        print(
            f"The Jupyter of {sys.prefix} does not look there. One that is installed in "
            f"{options.prefix} does, and any with JUPYTER_PATH={folder.parent.parent}.",
            file=sys.stderr,
        )
    if install.is_pip_s(folder):
        print(
            "pip writes this kernelspec anew when it upgrades the package; under another --name "
            "one stays as it is.",
            file=sys.stderr,
        )


def _uninstall(options: argparse.Namespace) -> None:
    from . import install  # noqa: PLC0415

    found = install.find(options.name)
    if not options.yes and not _agreed(f"Remove {found.folder}? [y/N] "):
        raise CommandError(f"Nothing was removed: {found.folder} is as it was.")
    install.uninstall(found)
    print(f"Removed {found.folder}")


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in {"y", "yes"}
    except EOFError:
        print()
        raise CommandError("Nobody is here to answer. -y removes without asking.") from None


def _list(_: argparse.Namespace) -> None:
    from . import install  # noqa: PLC0415

    found = install.installed()
    if not found:
        print("Jupyter finds no kernelspec of Bulkhead's here. `bulkhead install` installs one.")
    for each in found:
        print(f"{each.name} ({each.display_name})")
        print(f"    in {each.folder}")
        print(f"    on {_python(each.python)}")


def _python(python: str) -> str:
    path = Path(python)
    if not path.is_absolute():
        return f"the {python} that runs Jupyter"
    return python if path.exists() else f"{python}, which is gone"


def _run(options: argparse.Namespace) -> None:
    from . import run  # noqa: PLC0415

    run.run(
        options.notebook,
        options.output,
        allow_errors=options.allow_errors,
        timeout=options.timeout,
    )


def _top(options: argparse.Namespace) -> None:
    from . import top  # noqa: PLC0415

    top.top(once=options.once, as_json=options.json, interval=options.interval)
