"""Errors of models: residuals, tables, report."""

from nddo_ml.moved import names_from

__getattr__ = names_from("evaluation", "evaluation.tables", "evaluation.residuals")
