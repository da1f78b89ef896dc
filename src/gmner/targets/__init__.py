"""Stage 4: what a run learns to answer, boxes perturbed (GRBP)."""
