"""Features of images from a frozen backbone: crops, extraction, the cache on disk."""
