"""A Qwen2.5-VL of three million parameters, trained from scratch."""
