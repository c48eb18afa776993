"""Neural style transfer: the first of the two jobs."""
