"""Snapshots of the interpreter: made between cells, and woken after a crash.

A snapshot is a forked copy of the worker that waits in one system call. If the worker dies, the
supervisor wakes it, and it goes on as the worker with every variable as it was.
"""
