"""Exporting a classifier to other formats, verified against the original."""
