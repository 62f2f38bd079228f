"""The small built-in model: its world of questions, its manners and the script that trains it."""

from pathlib import Path

MODEL_DIR = Path(__file__).resolve().parent / "model"
"""The checkpoint that comes with the project, for ``from_pretrained``."""
