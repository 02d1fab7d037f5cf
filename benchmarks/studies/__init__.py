"""The classic studies of Behler–Parrinello potentials and hybrids: ``python -m benchmarks.studies``, ``make studies``.

One module a study with a ``STUDY`` in it; modules are found by themselves and sorted by number.
"""
