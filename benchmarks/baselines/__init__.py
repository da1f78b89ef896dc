"""The same work done the authors' way: written from the description of their release, not taken from it."""
