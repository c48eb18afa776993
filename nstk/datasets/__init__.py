"""Labeled images from folders, manifests, zips and arrays, as one catalog. No TensorFlow."""
