"""The classifier: save, load, predict, evaluate, explain."""
