"""Models side by side, and curves along a coordinate."""
