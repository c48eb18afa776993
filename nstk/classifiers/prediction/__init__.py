"""Prediction: labels for images, in memory, in files, resumed or watched."""
