"""Training: readers, checks of data, losses' optimisers, cached descriptors."""
