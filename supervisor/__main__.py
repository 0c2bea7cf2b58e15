"""Start a kernel: ``python -m bulkhead_kernel.supervisor -f CONNECTION_FILE``.

The first thing that happens is a fork, once all is imported that both processes need and nothing
that must not be in two: the child becomes the zygote and imports IPython while this process imports
zmq.
"""

import gc
import os
import sys

if sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - pathlib is not imported yet
    # `python -m` puts the working directory first. A user's own socket.py or zmq.py there must not
    # become the supervisor's; the worker puts the directory back for the user's code.
    del sys.path[0]

import signal
import socket
from contextlib import suppress

# The worker's business, and a message. From birth: an early Ctrl-C must not end the zygote.
signal.signal(signal.SIGINT, signal.SIG_IGN)
# It would look through all that is imported again and again, and find no garbage. Each of the two
# processes switches it on once it has imported what it needs.
gc.disable()

from .options import parse_options  # noqa: E402 - after the path and the signal


def main() -> None:
    """Run a kernel, and exit with 0 once it was shut down."""
    if sys.platform == "win32":
        raise SystemExit(
            "bulkhead: Windows is not supported yet; Linux is, and macOS is meant to be."
        )
    _open_standard_descriptors()
    options = parse_options(sys.argv[1:])
    from . import both  # noqa: F401, PLC0415 - not where it says that this cannot run, or how

    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        if options.provisioner != -1:  # the supervisor's alone: its end is seen by this descriptor
            with suppress(OSError):
                os.close(options.provisioner)
        from ..worker import zygote  # noqa: PLC0415 - each process imports what it needs

        zygote.main(theirs, options.worker)
    theirs.close()

    from . import start  # noqa: PLC0415 - as above

    start.start(options, ours, pid)


def _open_standard_descriptors() -> None:
    """Fill 0, 1 and 2, which may be closed at birth: a pipe of ours must not get such a number."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004
        pass
    os.close(fd)


if __name__ == "__main__":
    main()
