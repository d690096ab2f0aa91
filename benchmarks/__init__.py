"""The benchmark harness: ``python -m benchmarks``, or ``make bench``."""
