"""The local page: painting, recognizing and labeling in a browser, served to this machine only."""
