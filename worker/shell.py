"""IPython as this kernel runs it."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
import warnings
from contextlib import contextmanager
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from IPython.core import page
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.error import UsageError
from IPython.core.events import EventManager
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Any as AnyTrait
from traitlets import CBool, Instance, Type, default

from ..shared.limits import NO_LIMITS
from .counting import Counter
from .display import WorkerDisplayHook, WorkerDisplayPublisher
from .here import here
from .history import WorkerHistoryManager
from .magics import KernelMagics
from .naming import Compiler
from .payload import WorkerPayloadManager
from .recovery.magic import RecoveryMagics
from .resources import ResourceMagics, show_cell
from .stacks import defer_between, fragile, protected
from .transforming import Transformer
from .traps import WorkerBuiltinTrap, WorkerDisplayTrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..shared.limits import Limits
    from ..shared.samples import Reader
    from .allocation import Allocation
    from .costs import Meter
    from .publisher import Publisher
    from .recovery.snapshots import Snapshots
    from .running import Running
    from .subshells import Subshells

FIGURES = "module://matplotlib_inline.backend_inline"


def _nobody_traces(_on: bool) -> None:  # noqa: FBT001 - whether from here on
    """Do what the debugger does if there is none."""


# The name is ipykernel's on purpose: rich, tqdm, plotly and many others ask for the name of the
# shell's class to find out whether they run in a notebook.
class ZMQInteractiveShell(InteractiveShell):  # type: ignore[misc]
    """An InteractiveShell whose output goes to the supervisor."""

    compiler_class = Type(Compiler)
    displayhook_class = Type(WorkerDisplayHook)
    display_pub_class = Type(WorkerDisplayPublisher)
    readline_use = CBool(False)
    autoindent = CBool(False)
    exiter = Instance(ZMQExitAutocall)

    input_transformer_manager = Instance(Transformer, ())
    kernel = AnyTrait()
    # No traits: nobody observes these, and to look one up takes two calls.
    publisher: Publisher
    mains: Running
    """What interrupts the main shell's cells."""
    counter: Counter
    allocation: Allocation
    meter: Meter | None = None
    samples: Reader
    limits: Limits = NO_LIMITS
    snapshots: Snapshots
    subshells: Subshells
    keepkernel_on_exit: bool | None = None

    trace: Callable[[bool], None] = staticmethod(_nobody_traces)
    """Have the debugger look on (True) or away; replaced once there is one."""

    def __init__(self, *, publisher: Publisher, mains: Running, **options: Any) -> None:
        """Take what IPython's parts need when they are made; its options are for IPython."""
        self.publisher, self.mains, self.counter = publisher, mains, Counter()
        super().__init__(**options)

    @default("exiter")  # type: ignore[untyped-decorator]
    def _default_exiter(self) -> ZMQExitAutocall:
        return ZMQExitAutocall(self)

    @property
    def execution_count(self) -> int:
        """The number of the calling thread's cell, as IPython counts it on; or of the next one."""
        return self.counter.get()

    @execution_count.setter
    def execution_count(self, value: int) -> None:
        self.counter.set(value)

    @property
    def interrupts(self) -> Running:
        """What interrupts the cells of the calling thread."""
        return here.running or self.mains

    # Parts of IPython, set up in ways that suit a kernel.

    def init_environment(self) -> None:
        """Let programs print colours, and no program open a pager."""
        os.environ.update(
            TERM="xterm-color", CLICOLOR="1", FORCE_COLOR="1", CLICOLOR_FORCE="1",
            PAGER="cat", GIT_PAGER="cat",
        )  # fmt: skip

    def init_virtualenv(self) -> None:
        """Leave sys.path alone: the kernelspec says which environment this is."""

    def init_history(self) -> None:
        """Set up a history that needs no thread."""
        self.history_manager = WorkerHistoryManager(shell=self, parent=self)
        self.configurables.append(self.history_manager)

    def init_display_pub(self) -> None:
        """Make the display publisher."""
        super().init_display_pub()
        self.display_pub.publisher = self.publisher

    def init_displayhook(self) -> None:
        """Make the display hook."""
        super().init_displayhook()
        self.displayhook.publisher = self.publisher

        self.display_trap = WorkerDisplayTrap(hook=self.displayhook)

    def init_builtins(self) -> None:
        """Add IPython's names to Python's."""
        super().init_builtins()
        self.builtin_trap = WorkerBuiltinTrap(shell=self)

    def init_payload(self) -> None:
        """Make the manager of payloads."""
        self.payload_manager = WorkerPayloadManager(parent=self)
        self.configurables.append(self.payload_manager)

    def init_hooks(self) -> None:
        """Send what would go to a pager to the client."""
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(self._page), 99)

    def init_magics(self) -> None:
        """Add the kernel's own magics."""
        super().init_magics()
        self.register_magics(KernelMagics, ResourceMagics, RecoveryMagics)
        self.input_transformer_manager.cleanup_transforms.append(show_cell)
        self.input_transformer_manager.settle()

    @contextmanager
    def _tee(self, channel: str) -> Iterator[None]:  # noqa: ARG002 - IPython's signature
        """Keep no second copy of what is printed: a long-lived kernel would hold all of it."""
        yield

    # What a cell can do besides printing.

    def _page(self, strg: Any, start: int = 0, *_: Any, **__: Any) -> None:
        data = strg if isinstance(strg, dict) else {"text/plain": strg}
        self.payload_manager.write_payload({"source": "page", "data": data, "start": max(0, start)})

    def set_next_input(self, text: str, replace: bool = False) -> None:  # noqa: FBT001, FBT002
        """Put text into the next input cell (or in place of this one)."""
        payload = {"source": "set_next_input", "text": text, "replace": replace}
        self.payload_manager.write_payload(payload)

    def ask_exit(self) -> None:
        """Tell the client that the user wants to leave; unless told to stay, this worker ends."""
        self.exit_now = not self.keepkernel_on_exit
        payload = {"source": "ask_exit", "keepkernel": bool(self.keepkernel_on_exit)}
        self.payload_manager.write_payload(payload)

    def enable_gui(self, gui: str | None = None) -> None:
        """Accept the event loop that always runs here. Raises UsageError for any other."""
        if gui not in (None, "", "inline", "asyncio"):
            raise UsageError(
                f"The event loop {gui!r} cannot run in this kernel; asyncio always does.\n"
                "For interactive figures, install ipympl and use %matplotlib widget."
            )

    # Whose output it is, as libraries for ipykernel ask and set it.

    @property
    def parent_header(self) -> dict[str, Any]:
        """The message that the calling code belongs to."""
        return self.get_parent()

    def get_parent(self) -> dict[str, Any]:
        """Give the message that the calling code belongs to; {} if there is none."""
        parent: dict[str, Any] = self.kernel.get_parent()
        return parent

    def set_parent(self, parent: object) -> None:
        """Let what the calling thread or coroutine does from here on belong to this message."""
        self.kernel.set_parent(parent)

    def set_thread_parent(self, parent: object) -> object:
        """Do what ``set_parent`` does; give what undoes it."""
        return self.kernel.set_parent(parent)

    def reset_thread_parent(self, token: object) -> None:
        """Undo ``set_thread_parent``."""
        self.kernel.reset_parent(token)

    async def run_code(self, code_obj: CodeType, *args: Any, **kwargs: Any) -> Any:
        """Run a piece of the user's code, unless it was interrupted just before."""
        self.trace(True)
        self.interrupts.deliver()
        try:
            return await super().run_code(code_obj, *args, **kwargs)
        finally:
            self.trace(False)

    # Errors.

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        """Show an error. A cell cancelled by an interrupt shows the interrupt."""
        self.trace(False)
        _, error, trace = exc_tuple or sys.exc_info()
        if error is None:  # %tb and the like: IPython shows the last one
            super().showtraceback(exc_tuple, *args, **kwargs)
            return
        interrupts, told, raised = self.interrupts, here.last_error, error
        error = self.as_interrupt(error) or error
        interrupts.begin_telling(error)
        try:
            with self.allocation.lifted():
                self._show(error, trace, *args, **kwargs)
            if interrupts.cut_short and here.last_error is told:
                # IPython has left it at that. It has to be told all the same, without asking the
                # user's code, which may be what took so long.
                text = "(showing it was interrupted)"
                self._tell(type(error), text, [f"{type(error).__name__}: {text}"])
            here.told_of = id(raised) if here.last_error is not told else 0
        finally:
            interrupts.end_telling()

    def _show(
        self, error: BaseException, trace: TracebackType | None, *args: Any, **kwargs: Any
    ) -> None:
        if isinstance(error, MemoryError):
            self.allocation.explain(error)
        trace = _without_ours(trace)
        error.__traceback__ = trace  # pdb.pm() and the like take it from there
        before = here.last_error
        if not _has_group(error):  # IPython prints a group on stderr, and so what has one behind it
            super().showtraceback((type(error), error, trace), *args, **kwargs)
            if isinstance(error, UsageError):
                return  # is a line on stderr
        if here.last_error is before and not self.interrupts.cut_short:
            # Nor does IPython tell an error whose traceback could not be made. Clients show what
            # comes as one.
            lines = traceback.format_exception(type(error), error, trace)
            self._showtraceback(type(error), error, "".join(lines).rstrip("\n").split("\n"))

    def as_interrupt(self, error: BaseException | None) -> BaseException | None:
        """Turn the cancellation that an interrupt caused back into what it was to raise."""
        if isinstance(error, asyncio.CancelledError) and self.interrupts.cancelled:
            return self.interrupts.error()
        return error

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        try:
            text = str(evalue)
        except Exception as error:  # noqa: BLE001 - the user's own __str__
            text = f"<its __str__ failed: {type(error).__name__}>"
        self._tell(etype, text, stb)
        here.told_of = id(evalue)

    def _format_exception_for_storage(
        self, exception: BaseException, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Give what was shown of an error, for IPython's history of errors.

        It would be formatted once more, which takes longer than all the rest of such a cell.
        """
        if here.last_error is not None and here.told_of == id(exception):
            return dict(here.last_error)
        stored: dict[str, Any] = super()._format_exception_for_storage(exception, *args, **kwargs)
        return stored

    def _tell(self, etype: type, text: str, stb: list[str]) -> None:
        told = here.last_error = {"ename": etype.__name__, "evalue": text, "traceback": stb}
        here.display_failed = here.display_failed or here.showing
        if self.publisher.is_ours():
            self.publisher.publish("error", told)
        else:
            print("\n".join(stb), file=sys.stderr)  # noqa: T201 - in a forked child


defer_between(InteractiveShell._run_cell, InteractiveShell.run_cell_async)  # noqa: SLF001
fragile(EventManager.trigger)
# An interrupt can fall between making a coroutine and awaiting it, where Python lets nobody catch
# it. It stops the cell as it should; that the coroutine was not needed is no news for the user.
warnings.filterwarnings(
    "ignore", r"coroutine '(ZMQ)?InteractiveShell\.\w+' was never awaited", RuntimeWarning
)
# IPython's own callback before a cell: an interrupt there would be told as its failure, and lost.
if (_callback := getattr(InteractiveShell, "_clear_warning_registry", None)) is not None:
    protected(_callback)


def _has_group(error: BaseException | None) -> bool:
    """Tell what IPython asks, too: whether an error is a group, or was raised after one."""
    seen: set[int] = set()  # a program can link errors in a circle
    while error is not None and id(error) not in seen:
        if isinstance(error, BaseExceptionGroup):
            return True
        seen.add(id(error))
        error = error.__context__
    return False


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Cut our own frames off the end of a traceback: it is to end where the user's code was."""
    entries: list[TracebackType] = []
    while trace is not None:
        if entries and _is_of_debugger(trace.tb_frame):
            break  # it stood at a breakpoint when it was interrupted
        entries.append(trace)
        trace = trace.tb_next
    while len(entries) > 1 and entries[-1].tb_frame.f_globals.get("__package__") == __package__:
        entries.pop()
    shortened = None
    for entry in reversed(entries):
        # An interrupt can fall on a bytecode that belongs to no line; IPython fails to show that.
        line = entry.tb_lineno or entry.tb_frame.f_code.co_firstlineno
        shortened = TracebackType(shortened, entry.tb_frame, entry.tb_lasti, line)
    return shortened


def _is_of_debugger(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(("pydevd", "_pydevd_"))
