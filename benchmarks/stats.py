"""Medians, spreads, ratios. Few samples, of a machine that others use: no means, no deviations."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def median(samples: Sequence[float]) -> float | None:
    """Give the median; None of nothing."""
    return statistics.median(samples) if samples else None


def spread(samples: Sequence[float]) -> float | None:
    """Give half of the range in which the middle half of the samples lies; None of fewer than 3."""
    if len(samples) < 3:  # noqa: PLR2004 - of two, no half is in the middle
        return None
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return (high - low) / 2


def ratio(samples: Sequence[float], reference: Sequence[float]) -> float | None:
    """Give the ratio of the medians; None if there is none."""
    ours, theirs = median(samples), median(reference)
    if ours is None or not theirs:
        return None
    return ours / theirs
