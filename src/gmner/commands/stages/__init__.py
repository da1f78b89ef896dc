"""One module per stage command, `gmner stage NAME …`: what the rules run."""
