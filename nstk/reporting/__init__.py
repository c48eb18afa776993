"""A page about a classifier: how good it is, where it errs, and what to expect of it."""
