"""What the threads of the supervisor tell each other, one class an event.

An event is put into the inbox of the thread that it is for, and never changed afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..shared.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..shared.handover import Handover
    from ..shared.ledger import Ledger
    from ..shared.orders import Orders
    from ..shared.spool import Reader
    from .bounds import End
    from .bounds import Interrupt as InterruptForLimit
    from .post_mortem import Facts, Report
    from .usage import Status
    from .wire import Message


class Request(NamedTuple):
    """A client's request, with the number under which the worker knows it."""

    number: int
    message: Message
    channel: (
        str  # "shell" or "control": who sends the reply; "internal": it is the supervisor's own
    )
    retried: bool = False  # a worker died before it began; a second such death is told
    subshell: str | None = None  # None is the main shell
    aside: bool = False  # a comm message that the running cell may take while it awaits something


class Worker(NamedTuple):
    """One life of the worker: our ends of what connects us, and the handle of its process."""

    generation: int
    pid: int
    pidfd: int
    requests: int
    records: int
    stdout: int
    stderr: int
    ledger: Ledger
    spool: Reader
    from_worker: Handover  # IOPub's
    to_worker: Handover  # Shell's
    orders: Orders  # ... too
    began: float = 0.0  # seconds of the monotonic clock


# To IOPub.


class Attach(NamedTuple):
    """A worker was started: read from it."""

    worker: Worker


class Sent(NamedTuple):
    """The request is about to be written to the worker of this generation."""

    request: Request
    generation: int


class Answer(NamedTuple):
    """The supervisor answers by itself: a pair of busy and idle, then the reply."""

    request: Request
    msg_type: str  # "" if this request has no reply
    content: bytes
    publish: bool = False  # the reply is published on IOPub, too


class Abort(NamedTuple):
    """A queued execute_request will not be run."""

    request: Request


class Refuse(NamedTuple):
    """A queued request cannot be run: there is no worker, and this is why."""

    request: Request
    report: Report


class Remark(NamedTuple):
    """Something to tell on stderr of a running request."""

    number: int
    text: str


class DebugEvent(NamedTuple):
    """The debugger says something to all clients."""

    content: bytes


class CommInfo(NamedTuple):
    """Someone asks which comms are open."""

    request: Request
    target_name: str | None


class CommClosed(NamedTuple):
    """A client closed a comm; the worker has yet to hear of it."""

    comm_id: str


class Died(NamedTuple):
    """The worker of this generation is dead, everything that it wrote was read, and this is why."""

    generation: int
    facts: Facts


class Close(NamedTuple):
    """Nothing comes after this: publish what is left and end."""


# To Shell.


class Ready(NamedTuple):
    """A worker said hello: requests may go to it."""

    worker: Worker


class Gone(NamedTuple):
    """The worker of this generation takes no more requests."""

    generation: int


class Unbegun(NamedTuple):
    """The worker did not begin this request, and will not: nothing of it was run.

    It is dead; or the cell is over beside which the request was to be taken.
    """

    request: Request


class InputAsked(NamedTuple):
    """The running request wants a line from its client; all that it printed is published."""

    number: int
    content: bytes
    prompt: bytes  # the worker's name for this prompt, sent back with the answer


class Broken(NamedTuple):
    """No worker will come: requests are refused with this reason."""

    report: Report


class Stop(NamedTuple):
    """The worker is being ended: refuse what is queued, send nothing more to it."""

    report: Report


ANY = float("inf")
"""Whatever the number of a request."""


class Interrupt(NamedTuple):
    """Nothing runs in the main shell, and a client wants it interrupted.

    Perhaps a cell waits for its worker, or subshells run something. Or the client has named a
    subshell, and means that. It means nothing that came after it.
    """

    subshell: str | None = None
    before: float = ANY


class SubshellAsked(NamedTuple):
    """A client wants a subshell made or deleted, or all of them listed."""

    request: Request


class SubshellEnded(NamedTuple):
    """The thread of a subshell has ended, or could not be started."""

    generation: int
    number: int


class TakeStock(NamedTuple):
    """The worker of this generation is dead: tell how many executions wait behind it."""

    generation: int


class Forwarded(NamedTuple):
    """A request for the interpreter came on the control channel, and is answered there.

    Or it is the supervisor's own, on the channel "internal": Control alone hears of its reply.
    """

    message: Message
    channel: str = "control"


class Finish(NamedTuple):
    """There is no worker any more: refuse what is left, then give these answers.

    Then close, or take requests for the next worker.
    """

    last: tuple[Answer, ...]  # to those who asked for the shutdown, or the restart
    closing: bool


# To Shell, Control or Monitor.


class Closed(NamedTuple):
    """IOPub has published its last message; the replies before this event are the last ones."""


class Reply(NamedTuple):
    """A request is over and idle was published: send its reply (G8)."""

    request: Request
    msg_type: str  # "" if this request has no reply
    content: bytes = b"{}"
    metadata: bytes = b"{}"
    abort: bool = False  # execute_requests that are queued now are to be aborted (G11, G21)


# To Monitor.


class Watch(NamedTuple):
    """The worker is busy with this request for some time now."""

    worker: Worker
    number: int
    began: float  # seconds of the monotonic clock


class Asked(NamedTuple):
    """Someone asks what the kernel uses; ``answer`` takes the content of the reply."""

    status: Status
    answer: Callable[[dict[str, Any]], None]


# To Control.


class UsageAsked(NamedTuple):
    """Someone in this process asks what the kernel uses."""

    answer: Callable[[dict[str, Any]], None]


class Overrun(NamedTuple):
    """A request has passed a limit."""

    generation: int
    number: int
    verdict: InterruptForLimit | End


class MemoryShort(NamedTuple):
    """The running cell needs the memory that snapshots have."""


class Aborted(NamedTuple):
    """A cell that waited was aborted."""


class Ordered(NamedTuple):
    """The worker of this generation was sent orders: it is to look at them."""

    generation: int


class Hello(NamedTuple):
    """The worker of this generation is ready."""

    generation: int


class Leaving(NamedTuple):
    """The worker of this generation ends by itself, as its user has asked."""

    generation: int


class Drained(NamedTuple):
    """The worker of this generation has ended and all that it wrote was read."""

    generation: int
    next_count: int = 1  # the execution_count of the next cell


class Stock(NamedTuple):
    """So many executions wait behind the request that the dead worker had."""

    generation: int
    queued: int


class Misbehaved(NamedTuple):
    """The worker of this generation is not to be listened to any more."""

    generation: int
    why: str
    closed: bool = False  # it closed its end, which is also how a death begins


class Buried(NamedTuple):
    """The end of this generation was told, like this: the next worker may be attached."""

    generation: int
    report: Report


class Outgoing(NamedTuple):
    """A message for the control socket, built and dated by the thread that has the right to it."""

    frames: list[bytes]


class ShutdownAsked(NamedTuple):
    """A shutdown_request came on the shell channel, where old clients send it."""

    request: Request


class InterruptAsked(NamedTuple):
    """An interrupt_request came on the shell channel, where VS Code sends it.

    Its number says what came before it: by now something else may run, which is not meant (G27).
    """

    request: Request


class InterruptMissed(NamedTuple):
    """An interrupt came while this request waited for its worker, which has it by now."""

    number: int


class Signalled(NamedTuple):
    """The supervisor was told to end by a signal, or by its parent's death."""

    why: str


ToIOPub = (
    Attach | Sent | Answer | Abort | Refuse | Remark | DebugEvent | CommInfo | CommClosed | Died
    | Close
)  # fmt: skip
ToShell = (
    Ready | Gone | Unbegun | InputAsked | Broken | Stop | Interrupt | TakeStock | Forwarded | Finish
    | SubshellAsked | SubshellEnded | Reply | Closed
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
    | InterruptAsked
    | InterruptMissed
    | Signalled
    | UsageAsked
    | Overrun
    | MemoryShort
    | Aborted
    | Ordered
    | Reply
    | Closed
)
ToMonitor = Watch | Asked | Closed
