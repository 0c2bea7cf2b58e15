"""Signals by which the supervisor asks a worker for something, whatever its Python code does."""

from __future__ import annotations

import signal

# Real-time signals, because a user's own code and libraries take SIGUSR1 and SIGUSR2.
STACK_SIGNAL = signal.SIGRTMAX - 2 if hasattr(signal, "SIGRTMAX") else signal.SIGUSR2
"""Write the Python stacks into the crash pipe, whatever runs."""
LOOK_SIGNAL = signal.SIGRTMAX - 3 if hasattr(signal, "SIGRTMAX") else signal.SIGUSR1
"""Look at the socket of orders about subshells, in the main thread, whatever runs there."""
