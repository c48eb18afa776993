"""Explanation: which parts of an image a prediction is based on."""
