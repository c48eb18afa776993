"""The shell of nstk: options become settings, one call, a saved result, and where it is."""
