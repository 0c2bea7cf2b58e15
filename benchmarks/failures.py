"""What goes wrong with a kernel is a result, too: it stands in the table where its figure would."""

from __future__ import annotations


class FailedError(Exception):
    """A kernel did not do what the row asks for; the text is what the table says."""
