"""Where in a picture a classifier finds what speaks for a class."""
