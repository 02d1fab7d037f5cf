"""What a model is, the models, and the files they are kept in."""

from nddo_ml.moved import names_from

__getattr__ = names_from("models", "models.base")
