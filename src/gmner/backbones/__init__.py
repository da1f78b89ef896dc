"""Backbones: how a vision-language model and its processor are built and loaded."""
