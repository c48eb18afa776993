"""Inspecting what a network has learned."""
