"""Unfreezing: the last blocks of the network learn too, and are kept only if that helps."""
