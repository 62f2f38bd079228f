"""Prompts in, preference pairs out. Knows nothing of GPUs, rounds or torch."""
