"""Published methods: their tables and what follows from them."""

from nddo_ml.moved import names_from

__getattr__ = names_from("methods", "methods.tables", "methods.published")
