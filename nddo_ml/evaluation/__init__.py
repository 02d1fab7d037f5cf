"""Errors of models: residuals, tables, report."""
