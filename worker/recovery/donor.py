"""A donor: a snapshot that cannot live, because threads that it does not have are missing.

Its values are whole all the same, and most can be serialized, if what does that needs none of those
threads. Whether it does shows when it is tried: so a *helper* tries, a forked process that may hang
or die of a value. The donor waits, looks at the clock, and sends the next helper on to the values
behind that one. Here as in any snapshot, nothing that is shared with others is touched: that was
parted when it was made.
"""

from __future__ import annotations

import gc
import linecache
import os
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from ...shared import meminfo
from ...shared.parking import Donate, Donated, receive, send
from ..process import die_with_parent
from . import estate
from .estate import Estate, Out, Part, Surroundings
from .helper import Helper
from .reasons import reason

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ..shell import ZMQInteractiveShell

PATIENCE = 0.28
"""The part of the time for all that one may take without a byte."""
_SPARE_PART, _SPARE = 0.1, 1 << 30  # of the memory of the machine, and bytes: not to be used


class Donor:
    """What a snapshot does when it is asked for its values."""

    def __init__(self, end: socket.socket, shell: ZMQInteractiveShell) -> None:
        self._end = end
        self._shell = shell
        self._namespace = shell.user_ns
        self._patience = 0.0  # seconds

    def serve(self, message: Donate) -> NoReturn:
        """Give as often as it is asked; end when nobody will ask any more."""
        die_with_parent(message.parent)
        gc.disable()
        with suppress(EOFError, OSError):
            while True:
                self._give(message)
                told, _ = receive(self._end, 1)
                if not isinstance(told, Donate):
                    break
                message = told
        os._exit(0)

    def _give(self, order: Donate) -> None:
        until = time.monotonic() + order.seconds
        self._patience = order.seconds * PATIENCE
        variables = self._variables()
        fd = estate.create()
        parts: list[Part] = []
        lost: dict[str, str] = {}
        whole = order.whole and self._whole(fd, variables, parts, until - order.seconds / 2)
        if not whole:
            os.ftruncate(fd, 0)
            self._one_by_one(fd, variables, parts, lost, until)
            parts = in_order(parts, lost)
            if order.whole and (together := self._together(variables, parts, until)):
                os.close(fd)
                whole, (fd, parts) = True, together
        end = max((part.end for part in parts), default=0)
        left = Estate(whole, tuple(parts), tuple(lost.items()), _surroundings())
        estate.seal(fd, end, left)
        send(self._end, Donated(whole), (fd,))
        os.close(fd)

    def _variables(self) -> dict[str, Any]:
        """Give the user's own variables: what IPython has put there itself is left out."""
        hidden = self._shell.user_ns_hidden
        missing = object()
        return {
            name: value
            for name, value in list(self._namespace.items())
            if type(name) is str
            and hidden.get(name, missing) is not value
            and not name.startswith("__")  # Python's
        }

    # All at once.

    def _whole(
        self, fd: int, variables: Mapping[str, Any], parts: list[Part], until: float
    ) -> bool:
        if any(value is self._namespace for value in variables.values()):
            return False

        def work(say: Callable[[object], None]) -> None:
            from .serializing import Whole  # noqa: PLC0415 - slow, and a helper's business alone

            out = Out(fd, 0, _room())
            Whole(out, self._namespace, self._shell).dump(dict(variables))
            say(out.end)

        with Helper(work, fd, self._end.fileno(), self._patience) as helper:
            end = helper.hear(until)
        if not isinstance(end, int):
            return False
        parts.append(Part(tuple(variables), 0, end))
        return True

    def _together(
        self, variables: Mapping[str, Any], parts: Iterable[Part], until: float
    ) -> tuple[int, list[Part]] | None:
        """Serialize again, at once, what can be: what several variables share stays shared then."""
        there = {name: variables[name] for part in parts for name in part.names}
        fd, again = estate.create(), list[Part]()
        if there and self._whole(fd, there, again, until):
            return fd, again
        os.close(fd)
        return None

    # One by one.

    def _one_by_one(
        self,
        fd: int,
        variables: Mapping[str, Any],
        parts: list[Part],
        lost: dict[str, str],
        until: float,
    ) -> None:
        left: deque[tuple[str, ...]] = deque((name,) for name in variables)
        while left:
            self._some(fd, variables, left, parts, lost, until)
        knots = [part for part in parts if part.names[0] in _knotted(parts, lost)]
        if not knots:
            return
        # Each of these contains another one, in a circle: they can only be moved together.
        names = tuple(name for part in knots for name in part.names)
        rest = [part for part in parts if part not in knots]
        parts[:] = rest
        self._some(fd, variables, deque([names]), parts, lost, until, after=max(
            (part.end for part in knots + rest), default=0
        ))  # fmt: skip

    def _some(
        self,
        fd: int,
        variables: Mapping[str, Any],
        left: deque[tuple[str, ...]],
        parts: list[Part],
        lost: dict[str, str],
        until: float,
        after: int = 0,
    ) -> None:
        """Serialize what is left, up to the part that a helper does not survive, inclusively."""
        groups = tuple(left)
        start = max([after, *(part.end for part in parts)])

        def work(say: Callable[[object], None]) -> None:
            from .serializing import OneByOne, identities  # noqa: PLC0415 - as above

            known = identities(variables) | {id(self._namespace): ""}
            out = Out(fd, start, _room())
            for group in groups:
                begun = out.end
                try:
                    pickler = OneByOne(out, self._namespace, self._shell, known, group)
                    pickler.dump({name: variables[name] for name in group})
                except BaseException as error:  # noqa: BLE001 - the user's classes have their say
                    out.end = begun
                    say(reason(error))
                else:
                    say([begun, out.end, sorted(pickler.needs - {""})])

        with Helper(work, fd, self._end.fileno(), self._patience) as helper:
            while left:
                told = helper.hear(until)
                group = left.popleft()
                if isinstance(told, list):
                    begun, end, needs = told
                    parts.append(Part(group, begun, end, tuple(needs)))
                    continue
                is_late = told is None and time.monotonic() >= until
                why = told if isinstance(told, str) else helper.why
                lost.update(dict.fromkeys(group, "there was no time left" if is_late else why))
                if not isinstance(told, str):
                    break  # the next helper goes on behind it
        if time.monotonic() >= until:
            for group in left:
                lost.update(dict.fromkeys(group, "there was no time left"))
            left.clear()


def in_order(parts: Sequence[Part], lost: dict[str, str]) -> list[Part]:
    """Put parts behind those that they need; those that need what is not there are lost, too."""
    ordered: list[Part] = []
    there: set[str] = set()
    left = list(parts)
    while left:
        ready = [part for part in left if there.issuperset(part.needs)]
        if not ready:
            break
        ordered += ready
        there.update(name for part in ready for name in part.names)
        left = [part for part in left if part not in ready]
    for part in left:
        missing = sorted(set(part.needs) - there)
        for name in part.names:
            lost[name] = f"it contains {', '.join(missing)}"
    return ordered


def _knotted(parts: Sequence[Part], lost: Mapping[str, str]) -> set[str]:
    """Give the names that wait for each other, and for nothing that is lost."""
    blocked: dict[str, str] = {}
    in_order(parts, blocked)
    needs = {part.names[0]: set(part.needs) for part in parts if part.names[0] in blocked}
    hopeless = set(lost)
    while more := {name for name, of in needs.items() if name not in hopeless and of & hopeless}:
        hopeless |= more
    return set(needs) - hopeless


def _room() -> int:
    """Give the bytes that may be used: as much again is needed to take them out."""
    return max(0, meminfo.read().beyond(_SPARE_PART, _SPARE)) // 2


def _surroundings() -> Surroundings:
    try:
        folder = os.getcwd()  # noqa: PTH109 - a string
    except OSError:
        folder = ""
    path: Iterable[object] = sys.path
    names = tuple(name for name in path if isinstance(name, str))
    sources = {
        name: "".join(entry[2])
        for name, entry in linecache.cache.items()
        if len(entry) > 1 and entry[1] is None  # no time of change: it is no file's
    }
    return Surroundings(folder, names, dict(os.environ), sources)
