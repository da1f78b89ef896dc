"""Publishing a trained run: a folder that plain transformers and peft can use, with its card."""
