"""Bulkhead and its peers, measured side by side: ``python3 -m benchmarks``, from the repository."""
