"""The product's own settings, moved into a throw-away data folder.

pytest-django reads the settings before any conftest, so the folder is chosen here. Child
processes of a test inherit the choice; each pytest-xdist worker has a folder of its own.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

if "WHETSTONE_TEST_ROOT" not in os.environ:
    # Directly under /tmp, so that the paths of Unix sockets stay short.
    _root = tempfile.mkdtemp(prefix="whetstone-test-", dir="/tmp")
    os.environ["WHETSTONE_TEST_ROOT"] = _root
    atexit.register(shutil.rmtree, _root, ignore_errors=True)

os.environ["WHETSTONE_HOME"] = str(
    Path(os.environ["WHETSTONE_TEST_ROOT"], os.environ.get("PYTEST_XDIST_WORKER", "main"))
)
# What a developer has exported for their own installation is removed for tests. DATABASE_URL
# is kept: it says which database the tests are to run on.
for _name in ("REDIS_URL", "WHETSTONE_URL", "ALLOWED_HOSTS", "DEBUG", "SECRET_KEY", "HOST", "PORT"):
    os.environ.pop(_name, None)

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASES, HOME, STATIC_ROOT, STORAGES  # noqa: E402

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, because threads and child processes must see the same rows, each with a
    # connection and IMMEDIATE transactions of its own, as in production.
    DATABASES["default"]["TEST"] = {"NAME": str(HOME / "test.sqlite3")}

STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
