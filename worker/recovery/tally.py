"""What was put right in a woken snapshot, counted for the report. Pure."""

from __future__ import annotations


class Tally:
    """How many of what kind were put right, by names that a user knows."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._back: set[str] = set()
        self.alone: list[int] = []
        """Children, by process id, that go on by themselves."""
        self.renewed = 0
        """Ends of sockets that were closed, and are in order again."""

    def add(self, name: str, plural: str = "") -> None:
        """Count one more that has ended."""
        key = name, plural or f"{name}s"
        self._counts[key] = self._counts.get(key, 0) + 1

    def back(self, *threads: str) -> None:
        """Note threads, by name, that are there again, or not missed."""
        self._back.update(threads)

    def missed(self, threads: tuple[str, ...]) -> list[str]:
        """Give those of the threads that are gone and missed."""
        return sorted(name for name in threads if name not in self._back)

    def ended(self) -> list[str]:
        """Give what has ended, in words."""
        return [
            f"1 {name}" if number == 1 else f"{number} {plural}"
            for (name, plural), number in sorted(self._counts.items())
        ]
