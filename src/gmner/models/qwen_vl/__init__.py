"""The Qwen-VL family: everything that knows how these models take text and images."""
