"""Figures as people read them: three digits and a unit that suits."""

from __future__ import annotations

from typing import NamedTuple


class Scale(NamedTuple):
    """A factor, and what a figure is called after it was divided by it."""

    factor: float
    name: str


_SCALES = {
    "s": (Scale(1.0, "s"), Scale(1e-3, "ms"), Scale(1e-6, "µs")),
    "B": (Scale(2.0**30, "GiB"), Scale(2.0**20, "MiB"), Scale(2.0**10, "KiB")),
    "B/s": (Scale(1e9, "GB/s"), Scale(1e6, "MB/s"), Scale(1e3, "kB/s")),
}


def scale(value: float, unit: str) -> Scale:
    """Choose the largest unit in which the figure is at least 1."""
    scales = _SCALES.get(unit, (Scale(1.0, unit),))
    return next((each for each in scales if value >= each.factor), scales[-1])


def digits(value: float) -> str:
    """Give a number with three digits that count: 0.12, 1.23, 12.3, 123, 12,300."""
    if not value:
        return "0"
    if value < 10:  # noqa: PLR2004 - as the docstring says
        return f"{value:.2f}"
    if value < 100:  # noqa: PLR2004
        return f"{value:.1f}"
    return f"{float(f'{value:.3g}'):,.0f}"


def figure(value: float, unit: str) -> str:
    """Give a figure with its unit."""
    factor, name = scale(value, unit)
    return f"{digits(value / factor)} {name}"


def spread_figure(value: float, spread: float | None, unit: str) -> str:
    """Give a figure and its spread, both in the figure's unit."""
    factor, name = scale(value, unit)
    if spread is None:
        return figure(value, unit)
    return f"{digits(value / factor)} ± {digits(spread / factor)} {name}"
