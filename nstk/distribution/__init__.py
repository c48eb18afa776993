"""Sharing work: shards of a list of files, and Dask workers."""
