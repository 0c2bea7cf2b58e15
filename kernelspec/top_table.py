"""The table of kernels: its columns, and what stands in them, with colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import top_view as view

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .top_kernel import Kernel
    from .top_kernels import Look

STATES = {
    "idle": "green",
    "busy": "yellow",
    "starting": "cyan",
    "stopping": "cyan",
    "broken": "red",
    "none": "red",
}
TIGHTNESS = {"": "", "tight": "yellow", "full": "bold red"}
LONGEST_NAME = 30
GIVEN_UP = ("Pid", "Kernel", "Lately", "Restarts", "Limit", "Peak", "Uptime")
"""The columns that a narrow terminal has no room for, the least important one first."""
PADDING = 2
"""Cells between two columns."""
ENDLESS = 10_000


class Column(NamedTuple):
    """One column of the table."""

    title: str
    text: Callable[[Kernel], str]
    style: Callable[[Kernel], str] = lambda _: ""
    right: bool = True
    by: str = ""
    """The order in which this column is sorted."""


def _name(kernel: Kernel) -> str:
    """Give a name that leaves room for others: of a path, the end tells more."""
    text = view.name(kernel)
    return text if len(text) <= LONGEST_NAME else f"…{text[1 - LONGEST_NAME :]}"


def _memory_style(kernel: Kernel) -> str:
    return TIGHTNESS[view.tightness(kernel)]


def _restarts_style(kernel: Kernel) -> str:
    return "red" if kernel.restarts and any(kernel.restarts.values()) else ""


COLUMNS = (
    Column("Name", _name, right=False, by="name"),
    Column("Kernel", lambda kernel: kernel.kernel_name or view.UNKNOWN, right=False),
    Column(
        "State",
        lambda kernel: kernel.state or view.UNKNOWN,
        lambda kernel: STATES.get(kernel.state or "", "dim"),
        right=False,
    ),
    Column("Cell", view.cell, right=False),
    Column("CPU", lambda kernel: view.percent(kernel.cpu_percent), by="cpu"),
    Column("Memory", lambda kernel: view.size(kernel.memory), _memory_style, by="memory"),
    Column("Peak", lambda kernel: view.size(kernel.peak)),
    Column("Limit", lambda kernel: view.size(kernel.limit)),
    Column("Restarts", view.restarts, _restarts_style),
    Column("Uptime", lambda kernel: view.duration(kernel.uptime), by="uptime"),
    Column("Pid", lambda kernel: str(kernel.pid)),
)


def with_history(history: view.History) -> list[Column]:
    """Give the columns with one more, of the last samples of memory."""
    columns = list(COLUMNS)
    after = next(at for at, column in enumerate(columns, 1) if column.by == "memory")
    columns.insert(after, Column("Lately", history.line, lambda _: "cyan"))
    return columns


def needed(columns: Sequence[Column], kernels: Sequence[Kernel]) -> list[Column]:
    """Give the columns in which something stands."""
    empty = {"", view.UNKNOWN}
    return [each for each in columns if any(each.text(kernel) not in empty for kernel in kernels)]


def fitting(columns: Sequence[Column], kernels: Sequence[Kernel], width: int) -> list[Column]:
    """Give the columns for which there is room."""
    fit = list(columns)
    for title in GIVEN_UP:
        if sum(_width(each, kernels) for each in fit) <= width:
            break
        fit = [each for each in fit if each.title != title]
    return fit


def _width(column: Column, kernels: Sequence[Kernel]) -> int:
    texts = [heading(column, view.Order(column.by)), *(column.text(kernel) for kernel in kernels)]
    return PADDING + max(map(cell_len, texts))


def heading(column: Column, order: view.Order | None = None) -> str:
    """Give a column's title; a mark tells that the table is sorted by it."""
    if order is None or not column.by or column.by != order.by:
        return column.title
    return column.title + ("▲" if order.upside_down else "▼")


def entry(column: Column, kernel: Kernel) -> Text:
    """Give what stands in a column for a kernel."""
    return Text(column.text(kernel), column.style(kernel), justify=_justify(column))


def _justify(column: Column) -> Literal["left", "right"]:
    return "right" if column.right else "left"


def show(look: Look) -> None:
    """Print the table once. Where no terminal limits its width, nothing of it is left out."""
    console = Console(highlight=False)
    if not look.kernels:
        console.print(Text(view.NOBODY + view.stale(look)), soft_wrap=True)
        return
    if not console.is_terminal:
        console.width = ENDLESS
    columns = fitting(needed(COLUMNS, look.kernels), look.kernels, console.width)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column.title, justify=_justify(column), no_wrap=True)
    for kernel in view.in_order(look.kernels, view.Order("name")):
        table.add_row(*(entry(column, kernel) for column in columns))
    console.print(table)
    console.print(Text(f"\n{view.summary(look)}", "dim"), soft_wrap=True)
