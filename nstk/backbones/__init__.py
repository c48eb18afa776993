"""Frozen pretrained networks: what they are called, where their weights come from."""
