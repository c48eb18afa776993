"""What a frozen backbone says about images: crops, extraction, the cache on disk."""
