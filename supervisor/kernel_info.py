"""What the kernel says of itself: at once, whatever the worker does, without IPython."""

from __future__ import annotations

import platform
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

from ..shared.version import __version__
from .wire import PROTOCOL_VERSION

_LINKS = {
    "Python Reference": "https://docs.python.org/{}.{}",
    "IPython Reference": "https://ipython.readthedocs.io/en/stable/",
    "NumPy Reference": "https://numpy.org/doc/stable/",
    "SciPy Reference": "https://docs.scipy.org/doc/scipy/reference/",
    "Matplotlib Reference": "https://matplotlib.org/stable/",
    "pandas Reference": "https://pandas.pydata.org/docs/",
}


def kernel_info(*, subshells: bool) -> dict[str, Any]:
    """Give the content of a kernel_info_reply ("Kernel info" in the messaging documentation)."""
    features = {"debugger": _has_debugger(), "kernel subshells": subshells}
    version = platform.python_version()
    return {
        "status": "ok",
        "protocol_version": PROTOCOL_VERSION,
        "implementation": "bulkhead",
        "implementation_version": __version__,
        "language_info": {
            "name": "python",
            "version": version,
            "mimetype": "text/x-python",
            "codemirror_mode": {"name": "ipython", "version": sys.version_info.major},
            "pygments_lexer": "ipython3",
            "nbconvert_exporter": "python",
            "file_extension": ".py",
        },
        "banner": (
            f"Python {sys.version}\nBulkhead {__version__}: IPython in a process of its own. "
            "Type '?' for help."
        ),
        "help_links": [
            {"text": text, "url": url.format(*sys.version_info)} for text, url in _LINKS.items()
        ],
        "supported_features": [name for name, there in features.items() if there],
        "debugger": _has_debugger(),
    }


@cache
def _has_debugger() -> bool:
    """Tell whether debugpy is there: it is an extra, and looked for once."""
    return find_spec("debugpy") is not None
