"""The command line of nstk: options become settings, one call, a saved result, a short report."""
