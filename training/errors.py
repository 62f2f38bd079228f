"""What training refuses, in words that can be shown."""


class Refused(Exception):
    """The wish is understood but cannot be met now; the message says why and what would help."""
