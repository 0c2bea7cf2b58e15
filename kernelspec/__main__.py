"""The command line without its script: ``python -m bulkhead_kernel.kernelspec``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
