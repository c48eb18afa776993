"""Frozen pretrained networks: names, architectures, weights, taps and receptive fields."""
