"""Scoring the outputs of any system, without the pipeline."""
