"""Teachers: who writes the reasoning that training learns from, how it is kept, and what is accepted."""
