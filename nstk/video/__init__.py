"""Clips: reading, motion, the stylization of their frames, and writing."""
