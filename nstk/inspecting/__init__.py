"""Inspecting: what a network has learned, in images."""
