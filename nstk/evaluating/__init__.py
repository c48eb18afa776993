"""How good a finished classifier is on labelled pictures that it has not seen."""
