"""Images as arrays: decode, encode, color, resize, masks, quality. No TensorFlow."""
