"""The commands, one module each: options to settings, one call, save, say where."""
