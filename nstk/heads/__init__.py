"""Heads that are solved on features, and what is measured of them."""
