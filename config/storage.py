"""Where rounds' artifacts are kept: a folder, or a bucket of an object storage.

Knows nothing of Django, so that the settings can ask it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


def backend(location: str) -> dict[str, Any]:
    """An entry of STORAGES for a folder's path or for ``s3://BUCKET/FOLDER``.

    Keys, region and endpoint of an object storage come from the environment as every program of
    its kind reads them: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL.
    """
    url = urlsplit(location)
    if url.scheme == "s3":
        return {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {
                "bucket_name": url.netloc,
                "location": url.path.strip("/"),
                "default_acl": None,
                "file_overwrite": True,
            },
        }
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": location,
            "allow_overwrite": True,
            "file_permissions_mode": 0o600,
        },
    }
