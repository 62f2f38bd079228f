"""Endpoint keys at rest: encrypted, and bound to the host they were given for.

A sealed key can be opened for its own origin alone, so a changed address never gets it.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.translation import gettext as _

from training.endpoints.guard import Origin

SHORTEST_SECRET = 32
HIDDEN = "•••"


class KeyUnreadable(Exception):
    """A sealed key that cannot be opened; the message says what helps."""


@dataclasses.dataclass(frozen=True)
class ApiKey:
    """A key in the open. Shows itself nowhere: not in logs, not in tracebacks."""

    value: str = dataclasses.field(default="", repr=False)

    def __str__(self) -> str:
        return HIDDEN

    def scrub(self, text: str) -> str:
        """``text`` without the key, wherever it stands in it."""
        return text.replace(self.value, HIDDEN) if len(self.value) >= 4 else text


def seal(key: str, origin: Origin) -> str:
    """``key``, encrypted, to be opened for ``origin`` alone."""
    content = json.dumps({"origin": str(origin), "key": key})
    return _fernet().encrypt(content.encode()).decode("ascii")


def unseal(sealed: str, origin: Origin) -> ApiKey:
    """The key that was sealed for ``origin``; an empty one where nothing was.

    Raises KeyUnreadable where the secret has changed or the key belongs to another host.
    """
    if not sealed:
        return ApiKey()
    try:
        content = json.loads(_fernet().decrypt(sealed.encode("ascii")))
    except (InvalidToken, ValueError):
        message = _(
            "The stored key cannot be read any more, since the site's secret has changed. Enter "
            "the key again."
        )
        raise KeyUnreadable(message) from None
    if content["origin"] != str(origin):
        message = _("The stored key belongs to another host than %(host)s. Enter the key again.")
        raise KeyUnreadable(message % {"host": origin.host})
    return ApiKey(content["key"])


def _fernet() -> Fernet:
    if settings.KEY_FILE:
        secret = Path(settings.KEY_FILE).read_bytes().strip()
        if len(secret) < SHORTEST_SECRET:
            raise ValueError(f"WHETSTONE_KEY_FILE: fewer than {SHORTEST_SECRET} bytes")
    else:
        secret = settings.SECRET_KEY.encode()
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"whetstone endpoint keys")
    return Fernet(base64.urlsafe_b64encode(derive.derive(secret)))
