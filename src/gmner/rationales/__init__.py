"""Stage 3: the teacher's reasoning for each training sample."""
