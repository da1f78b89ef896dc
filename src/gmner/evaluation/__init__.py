"""Stages 7 and 8: predictions, counts, scores, intervals."""
