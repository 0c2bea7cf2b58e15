"""Cells in which nothing is IPython's own are not looked through for it.

IPython looks through every cell for magics, prompts that were copied along, help and the like, and
takes a tokenizer in Python to it, which costs a cell of fifty lines more than a millisecond. A
pattern tells much faster that there is nothing to be found. It errs on one side only: what might be
special is left to IPython, and so is everything once somebody has added transformations.
"""

from __future__ import annotations

import re

from IPython.core.inputtransformer2 import TransformerManager

_SPECIAL = re.compile(
    r"""
    [%!?]                              # magics, shell commands, help
    | >>> | \.\.\. | In[ ]\[           # prompts
    | ^[ \t]* [,;/]                    # calls without parentheses
    | ^[ \t]+ $ | \A\s | \A\Z          # what is dedented, or left out
    | [\r\v\f\x1c-\x1e\x85\u2028\u2029]  # lines that end otherwise
    """,
    re.VERBOSE | re.MULTILINE,
)


class Transformer(TransformerManager):  # type: ignore[misc]
    """IPython's transformations, where there is something to transform."""

    def __init__(self) -> None:
        super().__init__()
        self.settle()

    def settle(self) -> None:
        """Take it that all transformations until now are for cells that look special."""
        self._settled = self._all()

    def transform_cell(self, cell: str) -> str:
        """Transform a cell as IPython would."""
        if _SPECIAL.search(cell) is None and self._settled == self._all():
            return cell if cell.endswith("\n") else cell + "\n"
        return str(super().transform_cell(cell))

    def _all(self) -> tuple[object, ...]:
        return (*self.cleanup_transforms, *self.line_transforms, *self.token_transformers)
