"""The small built-in model: its world of questions, its manners and the script that trains it."""
