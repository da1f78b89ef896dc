"""Drawn scenes and invented tweets."""
