"""Who is measured when: in each round every kernel once, and none always first."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

R = TypeVar("R")
K = TypeVar("K")


def schedule(
    rows: Sequence[tuple[R, int]], kernels: Sequence[K], rounds: int
) -> Iterator[tuple[int, R, K]]:
    """Give all trials in their order; each row comes with the most rounds that it wants.

    What the machine does beside us changes slowly. It meets all kernels alike if their trials of a
    row follow each other at once, and if each of them is first, second and last in turn.
    """
    for number in range(rounds):
        for at, (row, most) in enumerate(rows):
            if number < most:
                first = (number + at) % len(kernels)
                for kernel in (*kernels[first:], *kernels[:first]):
                    yield number, row, kernel
