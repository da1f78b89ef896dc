"""A page in the browser to try trained runs; Gradio is imported here alone."""
