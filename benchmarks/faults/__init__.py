"""Rounds of a tiny model under injected faults, on the real stack."""
