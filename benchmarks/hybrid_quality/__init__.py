"""What a hybrid is worth beside its parent and a pure potential: ``python -m benchmarks.hybrid_quality PART``."""
