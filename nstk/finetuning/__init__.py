"""Transfer learning: one frozen forward pass for every picture, then a head that is solved."""
