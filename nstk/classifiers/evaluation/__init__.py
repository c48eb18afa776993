"""How good a classifier is on labeled images."""
