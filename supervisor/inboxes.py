"""The inboxes of all threads: whoever has something to tell puts it into one of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .inbox import Inbox

if TYPE_CHECKING:
    from .events import ToControl, ToIOPub, ToMonitor, ToShell


class Inboxes:
    """One for each thread, which alone takes from it."""

    def __init__(self) -> None:
        self.iopub: Inbox[ToIOPub] = Inbox()
        self.shell: Inbox[ToShell] = Inbox()
        self.control: Inbox[ToControl] = Inbox()
        self.monitor: Inbox[ToMonitor] = Inbox()
