"""The training recipe of the packaged `compact` network: data, teachers, training, folding."""
