"""Labels for images, one after another."""
