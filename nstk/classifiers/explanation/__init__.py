"""Where in an image a classifier sees what it says."""
