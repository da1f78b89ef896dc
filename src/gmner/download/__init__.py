"""Stage 1: sources of the public datasets, fetched once, checked."""
