"""All settings, read from the environment as ``config.environment`` declares it."""

import secrets
from pathlib import Path
from urllib.parse import quote, urlsplit

import environ
from csp.constants import NONE, SELF
from django.urls import reverse_lazy

from config import environment, storage
from config.launch import private_redis

BASE_DIR = Path(__file__).resolve().parent.parent


def _own_folder(name: str) -> Path:
    """A folder of ours: beside the code in a checkout, in the package ``whetstone`` installed."""
    beside = BASE_DIR / name
    return beside if beside.is_dir() else BASE_DIR / "whetstone" / name


# --- the one data folder ---
HOME = Path(environment.text("WHETSTONE_HOME", default=str(BASE_DIR / "var"))).resolve()
HOME.mkdir(parents=True, exist_ok=True, mode=0o700)


def _kept_secret() -> str:
    """A secret key made once and kept in the data folder."""
    path = HOME / "secret_key"
    try:
        with path.open("x", encoding="ascii") as file:
            path.chmod(0o600)
            file.write(secrets.token_urlsafe(64))
    except FileExistsError:
        pass
    return path.read_text(encoding="ascii").strip()


SECRET_KEY = environment.text("SECRET_KEY") or _kept_secret()
DEBUG = environment.flag("DEBUG")

# --- where it is reached ---
HOST = environment.text("HOST")
PORT = environment.number("PORT")
WEB_WORKERS = environment.number("WEB_WORKERS")
WEB_THREADS = environment.number("WEB_THREADS")
_everywhere = HOST in {"0.0.0.0", "::"}  # noqa: S104 - compared with, not listened on
_own_name = "localhost" if _everywhere else f"[{HOST}]" if ":" in HOST else HOST
PUBLIC_URL = environment.text("WHETSTONE_URL", default=f"http://{_own_name}:{PORT}").rstrip("/")
_public = urlsplit(PUBLIC_URL)
HTTPS = _public.scheme == "https"
ALLOWED_HOSTS = environment.names(
    "ALLOWED_HOSTS", default=[_public.hostname or "localhost", "localhost", "127.0.0.1", "[::1]"]
)
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = environment.number("HSTS_SECONDS", default=31_536_000 if HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
if environment.flag("BEHIND_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REDIRECT_EXEMPT = [r"^health/$"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_ENGINE = "config.sessions"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}

# --- the parts ---
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "csp",
    "config",
    "annotate",
    "training",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [_own_folder("templates")],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- the database ---
DATABASES = {
    "default": environ.Env.db_url_config(
        environment.text("DATABASE_URL", default=f"sqlite:///{HOME / 'db.sqlite3'}")
    ),
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Several processes write at once: IMMEDIATE + WAL is the one setting that loses none.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA mmap_size=0;",
    }
    # Opening the file and reading its tables takes longer than all that a request asks of it.
    DATABASES["default"]["CONN_MAX_AGE"] = None
else:
    DATABASES["default"]["CONN_MAX_AGE"] = environment.number("CONN_MAX_AGE")
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    if environment.flag("DATABASE_PREPARE"):
        # PostgreSQL takes as long to plan a vote's statements as to answer them.
        DATABASES["default"].setdefault("OPTIONS", {}).update(
            {"server_side_binding": True, "prepare_threshold": 3}
        )
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- people ---
ADMIN_NAME = environment.text("ADMIN_NAME")
SEED_DEMO = environment.flag("SEED_DEMO")
AUTH_USER_MODEL = "annotate.User"
AUTHENTICATION_BACKENDS = [
    "config.sessions.Backend",
    "sesame.backends.ModelBackend",
]
SESAME_ONE_TIME = True
SESAME_MAX_AGE = 60 * 60
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = reverse_lazy("login")
LOGIN_REDIRECT_URL = reverse_lazy("projects")
LOGOUT_REDIRECT_URL = reverse_lazy("login")

# --- mail ---
EMAIL_URL = environment.text("WHETSTONE_EMAIL_URL")
vars().update(environ.Env.email_url_config(EMAIL_URL or "consolemail://"))
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = SERVER_EMAIL = environment.text(
    "WHETSTONE_EMAIL_FROM", default=f"whetstone@{_public.hostname or 'localhost'}"
)

# --- language and time ---
LANGUAGE_CODE = "en-gb"
LANGUAGES = [("en-gb", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [_own_folder("locale")]
DOCS_DIR = _own_folder("docs")  # the glossary is a page, too
LANGUAGE_COOKIE_AGE = 60 * 60 * 24 * 365
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = HTTPS
TIME_ZONE = environment.text("TIME_ZONE")
USE_I18N = USE_TZ = True

# --- our own files ---
STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [_own_folder("static")]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.static_files.StaticFiles"},
    "artifacts": storage.backend(environment.text("WHETSTONE_STORAGE", default=str(HOME))),
}
MAX_UPLOAD_BYTES = environment.number("MAX_UPLOAD_BYTES")

# --- the queue ---
REDIS_SOCKET = private_redis.socket_path(HOME)
REDIS_URL = environment.text("REDIS_URL")
CELERY_BROKER_URL = REDIS_URL or f"redis+socket://{quote(str(REDIS_SOCKET))}"
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TIMEZONE = TIME_ZONE
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "training.tasks.run_round": {"queue": "gpu"},
    "training.tasks.run_sampling": {"queue": "gpu"},
    "training.tasks.run_answer": {"queue": "gpu"},
    "training.tasks.run_merge": {"queue": "gpu"},
    "training.tasks.run_scoring": {"queue": "gpu"},
    "training.tasks.measure_machine": {"queue": "gpu"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
TASK_THREADS = environment.number("TASK_THREADS")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 10,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 15,
}
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "training.tasks.sweep", "schedule": 10.0, "options": {"expires": 10}},
    "tick": {"task": "training.tasks.tick", "schedule": 60.0, "options": {"expires": 60}},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(HOME / "beat-schedule")

# --- training ---
RUNS_DIR = HOME / "runs"
ADAPTERS_DIR = HOME / "adapters"
SNAPSHOTS_DIR = HOME / "snapshots"
REFERENCE_CACHE_DIR = HOME / "reference-cache"
DEVICE_LOCK = Path(environment.text("WHETSTONE_DEVICE_LOCK", default=str(HOME / "device.lock")))
LAUNCHER = environment.text("WHETSTONE_LAUNCHER")
ENGINE_THREADS = environment.number("WHETSTONE_THREADS")
TRACKERS = environment.names("WHETSTONE_TRACKERS")
TRACKING_PROJECT = environment.text("WHETSTONE_TRACKING_PROJECT")
TRUST_REMOTE_CODE = environment.flag("WHETSTONE_TRUST_REMOTE_CODE")
ENDPOINT_HOSTS = environment.names("WHETSTONE_ENDPOINT_HOSTS")
KEY_FILE = environment.text("WHETSTONE_KEY_FILE")
HUB_URL = environment.text("HF_ENDPOINT").rstrip("/")
HUB_TOKEN = environment.text("WHETSTONE_HUB_TOKEN")
PRICE_PER_HOUR = environment.decimal("WHETSTONE_PRICE_PER_HOUR")
PRICE_CURRENCY = environment.text("WHETSTONE_PRICE_CURRENCY")
MAX_ATTEMPTS = 3
# An engine whose worker does not follow it any more ends within LEASE_SECONDS and 8 more, before
# the sweep gives its row to another worker after STALE_SECONDS.
LEASE_SECONDS = 10
STALE_SECONDS = 20
SILENT_SECONDS = 25
SHARE_DEVICE = environment.flag("WHETSTONE_SHARE_DEVICE")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        # These log addresses and headers; errors are logged by their callers.
        name: {"level": "WARNING"}
        for name in ("httpx", "httpx2", "httpcore", "httpcore2", "openai")
    },
    "root": {"handlers": ["console"], "level": environment.text("LOG_LEVEL")},
}
