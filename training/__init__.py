"""Snapshots, rounds, sampling and the pool's life. Imports annotate, never the reverse."""
