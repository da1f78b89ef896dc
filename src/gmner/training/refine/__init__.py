"""Stage `refine`: a trained adapter made better by its own answers and the scorer's verdicts."""
