"""One module per command for people; `stages/` holds those that the rules run."""
