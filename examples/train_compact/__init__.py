"""The recipe of the packaged `compact` network: sheets, teachers, training, folding."""
