"""IPython's application: profile, configuration files, extensions, start-up files.

All of it is IPython's own. The class bears the name of ipykernel's application because
configuration files of users have sections for it, and because tqdm and others look for that section
to find out whether they run in a notebook.
"""

from __future__ import annotations

import os
import pdb  # noqa: T100 - the user's debugger, not a forgotten one
import sys
from typing import TYPE_CHECKING

from IPython.core import debugger
from IPython.core.application import BaseIPythonApplication
from IPython.core.shellapp import InteractiveShellApp

from .shell import FIGURES, ZMQInteractiveShell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .interrupts import Interrupts
    from .publisher import Publisher


class IPKernelApp(BaseIPythonApplication, InteractiveShellApp):  # type: ignore[misc]
    """Builds the shell as the user has configured IPython."""

    name = "ipython-kernel"
    description = "The interpreter of a Bulkhead kernel."
    classes = [ZMQInteractiveShell]  # noqa: RUF012 - a list of traitlets' own, replaced and never changed

    def build(
        self, argv: Sequence[str], publisher: Publisher, interrupts: Interrupts
    ) -> ZMQInteractiveShell:
        """Read the configuration and make the shell. Start-up code has not run yet.

        Raises SystemExit, after telling why on stderr, for options that IPython does not know.
        """
        if not os.environ.get("MPLBACKEND"):
            os.environ["MPLBACKEND"] = FIGURES
        # Python's pdb cannot be interrupted while it waits for a command; IPython's can.
        debugger.Pdb = debugger.InterruptiblePdb
        setattr(pdb, "Pdb", debugger.Pdb)  # noqa: B010 - typed as a class
        pdb.set_trace = debugger.set_trace
        self.initialize(list(argv))
        # Libraries look for this section (see masquerade); an empty one would not be there.
        self.config.IPKernelApp.bulkhead = True
        self.init_path()
        shell: ZMQInteractiveShell = ZMQInteractiveShell.instance(
            parent=self,
            profile_dir=self.profile_dir,
            publisher=publisher,
            mains=interrupts,
        )
        self.shell = shell
        shell.configurables.append(self)
        return shell

    def parse_command_line(self, argv: Sequence[str] | None = None) -> None:
        """Read the options; make no parser where there are none: a sixth of ``build``."""
        if argv:
            super().parse_command_line(argv)

    def run_startup(self) -> None:
        """Load extensions, and run the start-up files and lines of the profile."""
        self.init_gui_pylab()
        self.init_extensions()
        self.init_code()

    def init_crash_handler(self) -> None:
        """Keep Python's own excepthook: a crash is the supervisor's to tell."""
        sys.excepthook = sys.__excepthook__
