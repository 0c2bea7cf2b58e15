"""The kernelspec and the command line ``bulkhead``."""
