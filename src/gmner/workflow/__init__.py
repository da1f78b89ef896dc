"""The table of stages, the plan of a configuration, fingerprints of code, killed runs."""
