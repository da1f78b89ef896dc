"""Grounded multimodal named entity recognition, end to end (an implementation of E2E-GMNER)."""

__version__ = "0.1.0"
