"""The inboxes of all threads: whoever has something to tell puts it into one of these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .inbox import Inbox

if TYPE_CHECKING:
    from .events import ToControl, ToIOPub, ToMonitor, ToShell


@dataclass(frozen=True, slots=True)
class Inboxes:
    """One for each thread, which alone takes from it."""

    iopub: Inbox[ToIOPub] = field(default_factory=Inbox)
    shell: Inbox[ToShell] = field(default_factory=Inbox)
    control: Inbox[ToControl] = field(default_factory=Inbox)
    monitor: Inbox[ToMonitor] = field(default_factory=Inbox)
