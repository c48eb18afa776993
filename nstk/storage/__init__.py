"""Files that are written whole or not at all: arrays, checkpoints, locks, the cache folder."""
