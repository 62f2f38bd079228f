"""Whetstone as one installed package: ``python -m whetstone up``."""
