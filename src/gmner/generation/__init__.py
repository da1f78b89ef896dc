"""Greedy decoding of a split, in batches, with what is done kept across interruptions."""
