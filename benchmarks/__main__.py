"""The one command. It needs nothing but Python: what measures runs in an environment of its own.

``setup`` makes the environments of the kernels, ``run`` measures (and makes what is missing),
``render`` writes the tables and the plot again from the figures of an earlier run.
"""

from __future__ import annotations

import sys

from . import environments
from .arguments import parse


def main() -> None:
    """Do what the command line says; an impossible one is told in words."""
    options = parse(sys.argv[1:])
    if options.command == "setup":
        environments.make(options.kernels, again=True)
        return
    measures = options.command == "run"
    environments.make(options.kernels if measures else (), again=False)
    environments.enter(sys.argv[1:])

    from . import report, run  # noqa: PLC0415 - they need the environment that was just entered

    if measures:
        run.run(options)
    else:
        report.render(options)


if __name__ == "__main__":
    main()
