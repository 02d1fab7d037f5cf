"""Benchmarks: ``python -m benchmarks.NAME``, opt-in, JSON on standard output, progress on standard error."""
