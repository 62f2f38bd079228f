"""Label Studio beside us: submit one annotation, ask for the next task, over its own HTTP API.

Installed from PyPI into an environment of its own and started as its manual says
(``label-studio start``, SQLite). Every rater has an account and a session of their own; tasks
are pairs of texts to choose from. A vote is one POST and one GET, as its page does it.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.rate.server import at, free_port, running

VERSION = "1.23.2"
TASKS = 1_000
CONFIG = """<View><Text name="prompt" value="$prompt"/><Pairwise name="better" toName="a,b"/>
<Text name="a" value="$a"/><Text name="b" value="$b"/></View>"""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Median alone and votes per second of sixteen; empty where it cannot be had."""
    python = _installed(options.label_studio_home)
    if python is None:
        return {}
    data = Path(tempfile.mkdtemp(prefix="bench-label-studio-", dir="/tmp"))
    port = free_port()
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("DJANGO", "DATABASE"))},
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_USERNAME": "admin@example.org",
        "LABEL_STUDIO_PASSWORD": "benchmark-password",
        "COLLECT_ANALYTICS": "False",
        "LATEST_VERSION_CHECK": "False",
    }
    command = [
        *(str(python.parent / "label-studio"), "start", "--no-browser"),
        *("--port", str(port), "--data-dir", str(data)),
        *("--username", env["LABEL_STUDIO_USERNAME"], "--password", env["LABEL_STUDIO_PASSWORD"]),
    ]
    figures: dict[str, Any] = {}
    try:
        with running(
            command, env=env, log=data / "web.log", port=port, path="/health", patience=400
        ):
            admin = Person(port)
            admin.log_in(env["LABEL_STUDIO_USERNAME"], env["LABEL_STUDIO_PASSWORD"])
            project = admin.json("POST", "/api/projects/", title="Bench", label_config=CONFIG)["id"]
            admin.json("POST", f"/api/projects/{project}/import", TASKS_GIVEN)
            link = admin.json("GET", "/api/invite")["invite_url"]
            raters = [Person(port) for _ in range(16)]
            for number, rater in enumerate(raters):
                rater.sign_up(link, f"rater{number}@example.org")
            alone = _together(raters[:1], project, options.label_studio_votes)
            many = _together(raters, project, options.label_studio_votes * 2)
            print(f"Label Studio {VERSION}, alone: {alone}; 16 raters: {many}", flush=True)
            figures = {
                "labelstudio_p50_ms_1": alone["p50_ms"],
                "labelstudio_votes_per_s_16": many["votes_per_s"],
                "labelstudio_p95_ms_16": many["p95_ms"],
                "labelstudio_errors": alone["errors"] + many["errors"],
            }
    except (OSError, SystemExit, KeyError, ValueError) as error:
        print(f"Label Studio was not measured: {error!r}", flush=True)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return figures


TASKS_GIVEN = [
    {"prompt": f"Question {number}?", "a": f"One answer {number}. " * 20, "b": "Another. " * 40}
    for number in range(TASKS)
]


def _installed(home: Path) -> Path | None:
    """The Python of an environment with Label Studio; None, and said so, where there is none."""
    python = home / "bin" / "python"
    if not (home / "bin" / "label-studio").exists():
        print(f"Installing Label Studio {VERSION} into {home}; minutes.", flush=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            install = [str(python), "-m", "pip", "install", "--quiet", f"label-studio=={VERSION}"]
            subprocess.run(install, check=True)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"Label Studio could not be installed and is left out: {error}", flush=True)
            return None
    return python


class Person:
    """Somebody with a browser: cookies, CSRF, redirects."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.cookies), urllib.request.ProxyHandler({})
        )

    def log_in(self, email: str, password: str) -> None:
        self._send("GET", "/user/login/")
        self._form("/user/login/", email=email, password=password)

    def sign_up(self, link: str, email: str) -> None:
        path = urllib.parse.urlsplit(link)
        address = f"{path.path}?{path.query}"
        self._send("GET", address)
        self._form(address, email=email, password="benchmark-password", allow_newsletters="false")

    def json(self, method: str, path: str, body_data: object = None, **values: object) -> Any:
        body = json.dumps(values if body_data is None else body_data).encode()
        data = None if method == "GET" else body
        return json.loads(self._send(method, path, data, "application/json"))

    def _form(self, path: str, **values: str) -> None:
        body = urllib.parse.urlencode({**values, "csrfmiddlewaretoken": self._token()}).encode()
        self._send("POST", path, body, "application/x-www-form-urlencoded")

    def _token(self) -> str:
        return next((c.value or "" for c in self.cookies if c.name == "csrftoken"), "")

    def _send(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        request = urllib.request.Request(f"{self.root}{path}", body, method=method)
        if body is not None:
            request.add_header("Content-Type", kind)
            request.add_header("X-CSRFToken", self._token())
            request.add_header("Referer", self.root)
        with self.opener.open(request, timeout=60) as answer:
            return bytes(answer.read())


CHOSEN = {
    "from_name": "better",
    "to_name": "a,b",
    "type": "pairwise",
    "value": {"selected": "left"},
}


def _together(raters: list[Person], project: int, votes: int) -> dict[str, Any]:
    seconds: list[float] = []
    errors: list[str] = []
    left, lock = [votes], threading.Lock()

    def work(rater: Person) -> None:
        task = rater.json("GET", f"/api/projects/{project}/next")["id"]
        while True:
            with lock:
                if left[0] <= 0:
                    return
                left[0] -= 1
            began = time.perf_counter()
            try:
                rater.json(
                    "POST", f"/api/tasks/{task}/annotations/", result=[CHOSEN], project=project
                )
                task = rater.json("GET", f"/api/projects/{project}/next")["id"]
            except (OSError, ValueError, KeyError) as error:
                errors.append(repr(error))
                continue
            seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=work, args=[rater]) for rater in raters]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    seconds.sort()
    return {
        "votes_per_s": round(len(seconds) / took, 1),
        "p50_ms": at(seconds, 0.5) if seconds else None,
        "p95_ms": at(seconds, 0.95) if seconds else None,
        "errors": len(errors),
        "what_errors": errors[:3],
    }
