"""Supervised fine-tuning: LoRA on the language model of a frozen vision-language backbone (paper, section 4.2)."""
