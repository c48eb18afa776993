"""The same objective, computed tile by tile in bounded memory."""
