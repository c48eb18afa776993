"""Labeling: which images to ask for, what follows from the answers, and where they are kept."""
