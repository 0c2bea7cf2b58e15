"""Which requests were sent before their client could know that another one had failed. Pure.

JupyterLab sends the cells of Run All one after another, and if one of them fails early, the rest is
still on its way, or not yet sent, when the failure is answered. Whoever pressed Run All wants the
rest aborted all the same (G11, G21). A script that saw the failure and goes on wants its next
request to run, and so does a person. The dates that clients put into their headers tell them apart:

- What was made before the reply of the failure was sent is unaware of it. Between a client's clock
  and ours lies an offset that nobody knows. But nothing arrives before it is made, so arrival less
  date is never less than the offset: a request was made, at the latest, at its date and the least
  such difference. If that is before the reply, so was the request.
- A cell of a notebook that follows an unaware one at once, from a client that does not wait for
  replies, belongs to the same Run All: the page that sends it listens to nobody meanwhile. Its date
  may be later than the reply, by half a second in a notebook of 60 cells.

Where a clock cannot be trusted nothing is unaware. Dates that are missing or without a time zone,
that stand still, go back or jump are no clock; one that ticks slowly is believed that much less.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .wire import Message

HORIZON = 3.0
"""Seconds after a failure was answered in which something unaware of it may still come."""
AT_ONCE = 0.1
"""Seconds between two cells of one Run All, at most: 50 ms were seen on a machine with too much to
do. A person who has seen that one failed needs longer than this to run another."""
RECENT = 10.0
"""Seconds for which an offset is good: clocks do not drift far meanwhile."""
JUMP = 1.0
"""Seconds by which a clock that is not changed cannot be ahead of where it was expected."""
SESSIONS = 64
"""Sessions that are remembered."""


class Unaware:
    """What is known of the clients' clocks, and of what they cannot know."""

    def __init__(self) -> None:
        self._senders: OrderedDict[str, _Sender] = OrderedDict()

    def arrive(self, message: Message, now: float) -> bool:
        """Note a request; tell whether it is an execution that is unaware of a failure."""
        sender = self._senders.pop(message.session, None)
        date = read(message.date)
        if date is None or not message.session:
            return False
        if sender is None or date < sender.date:
            sender = _Sender(date, now)
        self._senders[message.session] = sender
        if len(self._senders) > SESSIONS:
            self._senders.popitem(last=False)
        sender.note(date, now)
        return message.msg_type == "execute_request" and sender.execute(message, now)

    def answered(self, message: Message, now: float, *, failed: bool) -> None:
        """Note, before it is sent, that a request is answered; ``failed`` aborts what follows."""
        sender = self._senders.get(message.session)
        if sender is None:
            return
        if message.msg_id == sender.newest:
            sender.answered = now
        if failed:
            sender.failed = now


class _Sender:
    """One session: its clock, its newest execution, and its newest failure."""

    def __init__(self, date: float, now: float) -> None:
        self.date = date  # the newest
        self.newest = ""  # the msg_id of the newest execution
        self.answered = 0.0  # when it was
        self.failed: float | None = None  # when something was answered of which it may not know
        self._tick = float("inf")  # the smallest step that its clock was seen to make
        self._offset = now - date  # the least one
        self._noted = now  # when that was
        self._execution = float("-inf")  # the date of the newest execution
        self._piped = False  # it was sent at once after another, whose reply had yet to come

    def note(self, date: float, now: float) -> None:
        """Learn from a request of any kind."""
        offset = now - date
        if offset < self._offset - JUMP:
            self._tick = float("inf")
        elif date > self.date:
            self._tick = min(self._tick, date - self.date)
        if offset <= self._offset or now - self._noted > RECENT:
            self._offset, self._noted = offset, now
        self.date = date

    def execute(self, message: Message, now: float) -> bool:
        """Note that the newest request is an execution; tell whether it is unaware."""
        if self.failed is not None and now - self.failed > HORIZON:
            self.failed = None
        made_by = self.date + self._offset + self._tick
        at_once = self.date - self._execution + self._tick <= AT_ONCE
        early = goes_on = False
        if self.failed is not None:
            early = made_by < self.failed
            goes_on = self._piped and at_once and _is_cell(message)
            if not early and not goes_on:
                self.failed = None  # what it sends from now on is no less aware
        self._piped = at_once and (goes_on or made_by < self.answered)
        self._execution, self.newest, self.answered = self.date, message.msg_id, float("inf")
        return early or goes_on


def read(date: str) -> float | None:
    """Give the seconds since 1970, or None for what is no date or lacks a time zone."""
    try:
        moment = datetime.fromisoformat(date)
        return None if moment.tzinfo is None else moment.timestamp()
    except (ValueError, OverflowError):
        return None


def _is_cell(message: Message) -> bool:
    """Tell whether this is a cell of a notebook: frontends say which one, scripts do not."""
    return isinstance(json.loads(message.metadata).get("cellId"), str)
