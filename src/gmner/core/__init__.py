"""Values and mathematics: no file, no torch, no other part of the package but errors."""
