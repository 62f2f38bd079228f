"""Days as the site's time zone has them."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone


def midnight(now: datetime | None = None) -> datetime:
    """When today began in the site's time zone."""
    return timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
