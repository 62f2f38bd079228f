"""Numbers as the reader's language writes them."""

from __future__ import annotations

from django.utils.formats import number_format


def grouped(number: int) -> str:
    """A whole number in groups of three: 12,480, or as the language has it."""
    return number_format(number, force_grouping=True)
