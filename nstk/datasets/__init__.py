"""Labeled images: folders, manifests, zips and arrays as one catalog. No TensorFlow."""
