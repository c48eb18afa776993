"""Sweeps: one content and style, with one or two settings varied over a grid."""
