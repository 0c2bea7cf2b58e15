"""A driver that imitates VS Code's raw mode, and counts cells that never end.

``python3 -m benchmarks.raw_mode --rounds 1000`` runs it on several kernels, which take turns.
"""
