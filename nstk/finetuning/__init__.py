"""Transfer learning: one frozen forward pass for every image, then a head that is solved."""
