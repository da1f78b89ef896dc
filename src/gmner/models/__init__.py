"""Backbones and adapters as folders; loading them."""
