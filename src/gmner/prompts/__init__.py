"""The wording of questions, for the model and for teachers."""
