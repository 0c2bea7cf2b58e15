"""The version, in the one place from which the distribution and the kernel read it."""

__version__ = "0.1.0"
