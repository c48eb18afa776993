"""The classifier in other formats, each with a proof that it answers like the original."""
