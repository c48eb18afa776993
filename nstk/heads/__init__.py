"""Heads that are solved on features: fit, selection, calibration, metrics."""
