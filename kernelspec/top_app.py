"""The live view of the kernels, made with Textual: a table, a line of status, keys.

What is shown is decided in ``top_view`` and ``top_table``, and what is done in ``top_kernels``.
The selection stays with its kernel, wherever sorting moves it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Literal

from rich.text import Text
from textual.app import App
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Static

from . import top_view as view
from .top_kernels import NO_SERVER
from .top_table import entry, fitting, heading, with_history

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from .top_kernel import Kernel
    from .top_kernels import Kernels, Look

SCROLLBAR = 2
"""Cells that a vertical scrollbar takes."""


class Confirm(ModalScreen[bool]):
    """Asks a question that is answered by y or n."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]
    CSS = """
    Confirm { align: center middle; }
    Confirm > Static { width: auto; max-width: 80%; padding: 1 2; border: round $warning; }
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Show the question."""
        yield Static(Text(f"{self._question} [y/n]"), id="question")

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001 - a key's argument
        """Take the answer."""
        self.dismiss(answer)


class Top(App[None]):
    """The live view. ``kernels`` is looked at every ``interval`` seconds, and after each action."""

    TITLE = "bulkhead top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #summary { padding: 0 1; text-style: bold; }
    #nobody { padding: 1 2; }
    #details { padding: 0 1; height: 2; color: $text-muted; }
    #status { padding: 0 1; height: auto; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "sort('cpu')", "CPU"),
        Binding("m", "sort('memory')", "Memory"),
        Binding("n", "sort('name')", "Name"),
        Binding("u", "sort('uptime')", "Uptime"),
        Binding("r", "reverse", "Reverse"),
        Binding("i", "interrupt", "Interrupt"),
        Binding("R", "restart", "Restart", key_display="R"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, kernels: Kernels, interval: float) -> None:
        super().__init__()
        self._kernels = kernels
        self._interval = interval
        self._history = view.History()
        self._order = view.Order("cpu")
        self._look: Look | None = None
        self._rows: list[Kernel] = []
        self._chosen = ""  # by its connection file: it may be gone for a while, as in a restart
        self._due = asyncio.Event()
        # Kept, not queried for: a query does not reach beneath a question that is open.
        self._summary = Static("Looking for kernels …", id="summary")
        self._table: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=True)
        self._nobody = Static(view.NOBODY, id="nobody")
        self._details = Static("", id="details")
        self._status = Static("", id="status")

    def compose(self) -> ComposeResult:
        """Lay out the view."""
        yield self._summary
        with Vertical():
            yield self._table
            yield self._nobody
        yield self._details
        yield self._status
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self._nobody.display = False
        self.run_worker(self._watch())

    # Looking.

    async def _watch(self) -> None:
        while True:
            self._due.clear()
            self._look = await self._kernels.look()
            self._history.add(self._look.kernels)
            self._show()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._due.wait()

    # Showing.

    def _show(self) -> None:
        if self._look is None:
            return
        self._rows = view.in_order(self._look.kernels, self._order)
        with self.batch_update():
            self._summary.update(Text(view.summary(self._look)))
            self._nobody.display = not self._rows
            self._table.display = bool(self._rows)
            self._fill()
            self._show_details()

    def _fill(self) -> None:
        table = self._table
        x, y = table.scroll_offset
        columns = with_history(self._history)
        columns = fitting(columns, self._rows, self.size.width - SCROLLBAR)
        with self.prevent(DataTable.RowHighlighted):  # nobody chose these
            row = table.cursor_row
            table.clear(columns=True)
            for column in columns:
                justify: Literal["left", "right"] = "right" if column.right else "left"
                table.add_column(Text(heading(column, self._order), justify=justify))
            for kernel in self._rows:
                table.add_row(*(entry(column, kernel) for column in columns))
            files = [kernel.connection_file for kernel in self._rows]
            if self._chosen in files:
                row = files.index(self._chosen)
            table.move_cursor(row=row, scroll=False)
        table.scroll_to(x, y, animate=False)

    def on_resize(self) -> None:
        """Show as many columns as there is room for, once Textual knows the new size."""
        self.call_later(self._show)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Choose another kernel."""
        if event.cursor_row < len(self._rows):
            self._chosen = self._rows[event.cursor_row].connection_file
        self._show_details()

    def _show_details(self) -> None:
        selected = self._selected()
        text = "" if selected is None else view.details(selected)
        self._details.update(Text(text, no_wrap=True, overflow="ellipsis"))

    def _tell(self, text: str) -> None:
        self._status.update(Text(text))

    def _selected(self) -> Kernel | None:
        row = self._table.cursor_row
        return self._rows[row] if 0 <= row < len(self._rows) else None

    # Keys.

    def action_sort(self, by: str) -> None:
        """Sort by another column, in its natural direction."""
        self._order = view.Order(by)
        self._show()

    def action_reverse(self) -> None:
        """Turn the order upside down."""
        self._order = self._order._replace(upside_down=not self._order.upside_down)
        self._show()

    def action_interrupt(self) -> None:
        """Interrupt the selected kernel."""
        if (kernel := self._selected()) is not None:
            self._do(kernel, self._kernels.interrupt)

    def action_restart(self) -> None:
        """Restart the selected kernel, if whoever pressed the key means it."""
        kernel = self._selected()
        if kernel is None:
            return
        if kernel.server is None:
            self._tell(f"{view.name(kernel)}: {NO_SERVER}")
            return

        def answered(sure: bool | None) -> None:  # noqa: FBT001 - Textual calls it
            if sure:
                self._do(kernel, self._kernels.restart)
            else:
                self._tell("Not restarted.")

        question = f"Restart {view.name(kernel)}? Its variables will be gone."
        self.push_screen(Confirm(question), answered)

    def _do(self, kernel: Kernel, action: Callable[[Kernel], Awaitable[str]]) -> None:
        async def do() -> None:
            self._tell(f"{view.name(kernel)}: …")
            self._tell(f"{view.name(kernel)}: {await action(kernel)}")
            self._due.set()

        self.run_worker(do())
