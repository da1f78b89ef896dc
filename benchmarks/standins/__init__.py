"""Things that stand in for what a benchmark cannot have: a provider's model and its server."""
