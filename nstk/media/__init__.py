"""Pictures and labelled folders: Pillow, NumPy and the disk; no TensorFlow."""
