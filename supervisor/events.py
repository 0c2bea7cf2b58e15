"""What the threads of the supervisor tell each other, one class an event.

An event is put into the inbox of the thread that it is for, and never changed afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..shared.ledger import Ledger
    from ..shared.spool import Reader
    from .bounds import End
    from .bounds import Interrupt as InterruptForLimit
    from .post_mortem import Facts, Report
    from .usage import Status
    from .wire import Message


FOR_THE_WORKER = frozenset({
    "execute_request", "complete_request", "inspect_request", "is_complete_request",
    "history_request", "comm_open", "comm_msg", "comm_close",
})  # fmt: skip
"""Requests that need the interpreter."""


@dataclass(frozen=True, slots=True)
class Request:
    """A client's request, with the number under which the worker knows it."""

    number: int
    message: Message
    channel: str  # "shell" or "control": who sends the reply
    retried: bool = False  # a worker died before it began; a second such death is told


@dataclass(frozen=True, slots=True)
class Worker:
    """One life of the worker: our ends of what connects us, and the handle of its process."""

    generation: int
    pid: int
    pidfd: int
    requests: int
    records: int
    stdout: int
    stderr: int
    ledger: Ledger = field(repr=False)
    spool: Reader = field(repr=False)
    began: float = 0.0  # seconds of the monotonic clock


# To IOPub.


@dataclass(frozen=True, slots=True)
class Attach:
    """A worker was started: read from it."""

    worker: Worker


@dataclass(frozen=True, slots=True)
class Sent:
    """The request is about to be written to the worker of this generation."""

    request: Request
    generation: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The supervisor answers by itself: a pair of busy and idle, then the reply."""

    request: Request
    msg_type: str  # "" if this request has no reply
    content: bytes
    publish: bool = False  # the reply is published on IOPub, too


@dataclass(frozen=True, slots=True)
class Abort:
    """A queued execute_request will not be run."""

    request: Request


@dataclass(frozen=True, slots=True)
class Refuse:
    """A queued request cannot be run: there is no worker, and this is why."""

    request: Request
    report: Report


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to tell on stderr of a running request."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class CommInfo:
    """Someone asks which comms are open."""

    request: Request
    target_name: str | None


@dataclass(frozen=True, slots=True)
class CommClosed:
    """A client closed a comm; the worker has yet to hear of it."""

    comm_id: str


@dataclass(frozen=True, slots=True)
class Died:
    """The worker of this generation is dead, everything that it wrote was read, and this is why."""

    generation: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class Close:
    """Nothing comes after this: publish what is left and end."""


# To Shell.


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker said hello: requests may go to it."""

    worker: Worker


@dataclass(frozen=True, slots=True)
class Gone:
    """The worker of this generation takes no more requests."""

    generation: int


@dataclass(frozen=True, slots=True)
class Unbegun:
    """The worker died before it began this request: nothing of it was run."""

    request: Request


@dataclass(frozen=True, slots=True)
class InputAsked:
    """The running request wants a line from its client; all that it printed is published."""

    number: int
    content: bytes
    prompt: bytes  # the worker's name for this prompt, sent back with the answer


@dataclass(frozen=True, slots=True)
class Broken:
    """No worker will come: requests are refused with this reason."""

    report: Report


@dataclass(frozen=True, slots=True)
class Stop:
    """The kernel is ending: refuse what is queued, send nothing more to the worker."""

    report: Report


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Nothing runs, and a client wants it interrupted: perhaps a cell waits for its worker."""


@dataclass(frozen=True, slots=True)
class TakeStock:
    """The worker of this generation is dead: tell how many executions wait behind it."""

    generation: int


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A request for the interpreter came on the control channel, and is answered there."""

    message: Message


@dataclass(frozen=True, slots=True)
class Finish:
    """There is no worker any more: refuse what is left, then give these answers and close."""

    last: tuple[Answer, ...]  # to those who asked for the shutdown


# To Shell, Control or Monitor.


@dataclass(frozen=True, slots=True)
class Closed:
    """IOPub has published its last message; the replies before this event are the last ones."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A request is over and idle was published: send its reply (G8)."""

    request: Request
    msg_type: str  # "" if this request has no reply
    content: bytes = b"{}"
    metadata: bytes = b"{}"
    abort: bool = False  # execute_requests that are queued now are to be aborted (G11, G21)


# To Monitor.


@dataclass(frozen=True, slots=True)
class Watch:
    """The worker is busy with this request for some time now."""

    worker: Worker
    number: int
    began: float  # seconds of the monotonic clock


@dataclass(frozen=True, slots=True)
class Asked:
    """Someone asks what the kernel uses; ``answer`` takes the content of the reply."""

    status: Status
    answer: Callable[[dict[str, Any]], None]


# To Control.


@dataclass(frozen=True, slots=True)
class UsageAsked:
    """Someone in this process asks what the kernel uses."""

    answer: Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Overrun:
    """A request has passed a limit."""

    generation: int
    number: int
    verdict: InterruptForLimit | End


@dataclass(frozen=True, slots=True)
class Aborted:
    """A cell that waited was aborted."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The worker of this generation is ready."""

    generation: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """The worker of this generation ends by itself, as its user has asked."""

    generation: int


@dataclass(frozen=True, slots=True)
class Drained:
    """The worker of this generation has ended and all that it wrote was read."""

    generation: int


@dataclass(frozen=True, slots=True)
class Stock:
    """So many executions wait behind the request that the dead worker had."""

    generation: int
    queued: int


@dataclass(frozen=True, slots=True)
class Misbehaved:
    """The worker of this generation is not to be listened to any more."""

    generation: int
    why: str
    closed: bool = False  # it closed its end, which is also how a death begins


@dataclass(frozen=True, slots=True)
class Buried:
    """The end of this generation was told, like this: the next worker may be attached."""

    generation: int
    report: Report


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the control socket, built and dated by the thread that has the right to it."""

    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class ShutdownAsked:
    """A shutdown_request came on the shell channel, where old clients send it."""

    request: Request


@dataclass(frozen=True, slots=True)
class Signalled:
    """The supervisor was told to end by a signal, or by its parent's death."""

    why: str


ToIOPub = Attach | Sent | Answer | Abort | Refuse | Remark | CommInfo | CommClosed | Died | Close
ToShell = (
    Ready | Gone | Unbegun | InputAsked | Broken | Stop | Interrupt | TakeStock | Forwarded | Finish
    | Reply | Closed
)  # fmt: skip
ToControl = (
    Outgoing
    | Hello
    | Leaving
    | Drained
    | Stock
    | Misbehaved
    | Buried
    | ShutdownAsked
    | Signalled
    | UsageAsked
    | Overrun
    | Aborted
    | Reply
    | Closed
)
ToMonitor = Watch | Asked | Closed
