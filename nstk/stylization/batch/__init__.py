"""Many contents in many styles: one run, one folder."""
