"""The environment variables that settings are read from: name, kind, default and meaning.

``docs/settings.md`` is generated from this table.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import environ

VariableKind = Literal["text", "number", "decimal", "flag", "list"]


@dataclasses.dataclass(frozen=True)
class Variable:
    """``default`` is None where settings work it out; ``default_words`` then say how."""

    name: str
    kind: VariableKind
    default: Any
    meaning: str
    default_words: str = ""


GROUPS: dict[str, tuple[Variable, ...]] = {
    "The site": (
        Variable(
            "WHETSTONE_HOME",
            "text",
            None,
            "the data folder",
            "`./var`",
        ),
        Variable(
            "WHETSTONE_URL",
            "text",
            None,
            "the address that people open; `https://…` turns on secure cookies, the redirect to "
            "HTTPS and HSTS",
            "`http://HOST:PORT`",
        ),
        Variable(
            "HOST",
            "text",
            "127.0.0.1",
            "where the web server listens; `0.0.0.0` is everywhere (set `WHETSTONE_URL` too)",
        ),
        Variable(
            "PORT",
            "number",
            8000,
            "the port it listens on",
        ),
        Variable(
            "ALLOWED_HOSTS",
            "list",
            None,
            "host names that are answered to",
            "the host of `WHETSTONE_URL`, `localhost`, `127.0.0.1`, `[::1]`",
        ),
        Variable(
            "BEHIND_PROXY",
            "flag",
            False,
            "believe `X-Forwarded-Proto`; only behind a proxy that always sets it",
        ),
        Variable(
            "HSTS_SECONDS",
            "number",
            None,
            "how long browsers are told to insist on HTTPS, in seconds",
            "a year under HTTPS, else `0`",
        ),
        Variable(
            "SECRET_KEY",
            "text",
            "",
            "signs sessions and links",
            "made once, kept in the data folder",
        ),
        Variable(
            "ADMIN_NAME",
            "text",
            "admin",
            "the name of the first account",
        ),
        Variable(
            "SEED_DEMO",
            "flag",
            True,
            "make the demo project where there is no project",
        ),
        Variable(
            "TIME_ZONE",
            "text",
            "UTC",
            "the zone that times are shown in",
        ),
        Variable(
            "MAX_UPLOAD_BYTES",
            "number",
            209715200,
            "the largest file that may be imported on a page",
            "`209715200` (200 MiB)",
        ),
        Variable(
            "LOG_LEVEL",
            "text",
            "INFO",
            "how much is logged: `DEBUG`, `INFO`, `WARNING`, `ERROR`",
        ),
        Variable(
            "DEBUG",
            "flag",
            False,
            "Django's debug pages; never where others can reach it",
        ),
    ),
    "Processes, database and queue": (
        Variable(
            "WEB_WORKERS",
            "number",
            2,
            "processes of the web server",
        ),
        Variable(
            "WEB_THREADS",
            "number",
            8,
            "threads in each",
        ),
        Variable(
            "TASK_THREADS",
            "number",
            4,
            "threads of the default worker",
        ),
        Variable(
            "DATABASE_URL",
            "text",
            None,
            "such as `postgres://user:password@host/name`",
            "SQLite in the data folder",
        ),
        Variable(
            "CONN_MAX_AGE",
            "number",
            60,
            "seconds that a connection to PostgreSQL is kept",
        ),
        Variable(
            "DATABASE_PREPARE",
            "flag",
            True,
            "let PostgreSQL keep the plans of statements that come again; `false` behind a "
            "connection pooler that cannot hand them on",
        ),
        Variable(
            "REDIS_URL",
            "text",
            "",
            "such as `redis://:password@host:6379/0`",
            "the private Redis",
        ),
    ),
    "Training": (
        Variable(
            "WHETSTONE_DEVICE_LOCK",
            "text",
            None,
            "the file that a trainer locks while it uses the device; give several data folders on "
            "one GPU the same",
            "`device.lock` in the data folder",
        ),
        Variable(
            "WHETSTONE_SHARE_DEVICE",
            "flag",
            False,
            "let other work have the device at a round's checkpoints, where some waits; a model "
            "stays in the GPU's memory meanwhile",
        ),
        Variable(
            "WHETSTONE_STORAGE",
            "text",
            None,
            "where adapters, snapshots and unfinished rounds' checkpoints are kept for all "
            "machines: a folder, or `s3://BUCKET/FOLDER`",
            "the data folder",
        ),
        Variable(
            "WHETSTONE_LAUNCHER",
            "text",
            "",
            "starts training with another command than Python, such as `accelerate launch`",
            "none",
        ),
        Variable(
            "WHETSTONE_THREADS",
            "number",
            0,
            "CPU threads of the engine",
            "`0`: torch decides",
        ),
        Variable(
            "WHETSTONE_TRACKERS",
            "list",
            [],
            "who else is told of a round's metrics: `wandb`, `mlflow` (install the package; where "
            "and as whom is what those read from their own variables, such as `WANDB_API_KEY` or "
            "`MLFLOW_TRACKING_URI`)",
            "none",
        ),
        Variable(
            "WHETSTONE_TRACKING_PROJECT",
            "text",
            "whetstone",
            "the project (W&B) or experiment (MLflow) that rounds are told to",
        ),
        Variable(
            "WHETSTONE_TRUST_REMOTE_CODE",
            "flag",
            False,
            "run code that comes with a model; only for models whose code you have read",
        ),
        Variable(
            "WHETSTONE_PRICE_PER_HOUR",
            "decimal",
            0.0,
            "what an hour of one training device costs, for the reports of rounds",
            "`0`: none is shown",
        ),
        Variable(
            "WHETSTONE_PRICE_CURRENCY",
            "text",
            "EUR",
            "the currency of that price",
        ),
    ),
    "Other services": (
        Variable(
            "WHETSTONE_ENDPOINT_HOSTS",
            "list",
            [],
            "hosts that endpoints may be on: names (`api.openai.com`, `*.example.org`, "
            "`localhost:11434`), and private addresses or networks (`10.1.0.0/16`) that those "
            "names may lead to",
            "none",
        ),
        Variable(
            "WHETSTONE_KEY_FILE",
            "text",
            "",
            "a file with the secret that endpoint keys are encrypted with",
            "none: `SECRET_KEY`",
        ),
        Variable(
            "WHETSTONE_EMAIL_URL",
            "text",
            "",
            "the mail server that notifications go through, such as "
            "`smtp+tls://user:password@host:587`",
            "none: no e-mail",
        ),
        Variable(
            "WHETSTONE_EMAIL_FROM",
            "text",
            None,
            "the sender of those e-mails",
            "`whetstone@` and the host of `WHETSTONE_URL`",
        ),
        Variable(
            "HF_ENDPOINT",
            "text",
            "https://huggingface.co",
            "the hub that models are pushed to",
        ),
        Variable(
            "WHETSTONE_HUB_TOKEN",
            "text",
            "",
            "a token for that hub which every manager may push with; without it each enters their "
            "own",
            "none",
        ),
    ),
}
VARIABLES = {variable.name: variable for group in GROUPS.values() for variable in group}
_env = environ.Env()


def text(name: str, default: str | None = None) -> str:
    """The variable as text; ``default`` where the table has none."""
    return str(_env.str(name, default=_default(name, "text", default)))


def number(name: str, default: int | None = None) -> int:
    """The variable as a whole number."""
    return int(_env.int(name, default=_default(name, "number", default)))


def decimal(name: str) -> float:
    """The variable as a number."""
    return float(_env.float(name, default=_default(name, "decimal", None)))


def flag(name: str) -> bool:
    """The variable as yes or no."""
    return bool(_env.bool(name, default=_default(name, "flag", None)))


def names(name: str, default: list[str] | None = None) -> list[str]:
    """The variable as a list, written with commas."""
    return list(_env.list(name, default=_default(name, "list", default)))


def _default(name: str, kind: VariableKind, default: Any) -> Any:
    variable = VARIABLES[name]
    if variable.kind != kind:
        raise TypeError(f"{name} is declared as {variable.kind}, read as {kind}")
    value = variable.default if default is None else default
    if value is None:
        raise TypeError(f"{name} has no default")
    return value


def as_markdown() -> str:
    """``docs/settings.md``: a table for each group."""
    parts = []
    for title, group in GROUPS.items():
        rows = [
            f"| `{variable.name}` | {_shown(variable)} | {variable.meaning} |" for variable in group
        ]
        head = f"## {title}\n\n| variable | default | meaning |\n|---|---|---|\n"
        parts.append(head + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _shown(variable: Variable) -> str:
    if variable.default_words:
        return variable.default_words
    is_flag = isinstance(variable.default, bool)
    return f"`{str(variable.default).lower() if is_flag else variable.default}`"
