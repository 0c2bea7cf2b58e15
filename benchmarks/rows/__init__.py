"""All rows, in the order of the table."""

from __future__ import annotations

from . import footprint, lives, round_trips, scaling, starting, throughput
from .row import GROUPS, Measure, Row

ROWS: tuple[Row, ...] = (
    *starting.ROWS,
    *round_trips.ROWS,
    *throughput.ROWS,
    *lives.ROWS,
    *footprint.ROWS,
    *scaling.ROWS,
)
MEASURES = {measure.key: measure for row in ROWS for measure in row.measures}

__all__ = ["GROUPS", "MEASURES", "ROWS", "Measure", "Row"]
