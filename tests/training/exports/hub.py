"""A real HTTP server with the part of a model hub's upload API that the client uses.

It stores what it receives: ``Hub.repos`` maps a name to its files. Large files use git LFS.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_of_the_tests_0123456789"
LARGE = (".safetensors", ".bin")


@dataclass
class Repo:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


@dataclass
class Hub:
    port: int = 0
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    refuse_with: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        hub = self._begin()
        if hub is None:
            return
        repo = hub.repos.get(self._repo("/api/models/"))
        if repo is None:
            self._answer({"error": "Repository not found"}, 404)
        else:
            name = self._repo("/api/models/")
            self._answer({"id": name, "private": repo.private, "siblings": [], "tags": []})

    def do_PUT(self) -> None:
        # As on the real hub, an object's address needs no further permission.
        hub: Hub = self.server.hub
        hub.paths.append(f"PUT {self.path}")
        hub.objects[self.path.rpartition("/")[2]] = self._body()
        self._answer({})

    def do_POST(self) -> None:
        hub = self._begin()
        if hub is None:
            return
        body = self._body()
        if self.path == "/api/repos/create":
            repo = json.loads(body)
            name = "/".join(filter(None, [repo.get("organization"), repo["name"]]))
            name = name if "/" in name else f"me/{name}"
            if name in hub.repos:
                error = {"error": "You already created this model repo", "url": f"{hub.url}/{name}"}
                self._answer(error, 409)
            else:
                hub.repos[name] = Repo(private=repo.get("visibility") == "private")
                self._answer({"url": f"{hub.url}/{name}", "name": name, "id": name})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    **lfs_object,
                    "actions": {"upload": {"href": f"{hub.url}/objects/{lfs_object['oid']}"}},
                }
                for lfs_object in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            self._commit(hub, body)
        else:
            self._answer({"error": f"unknown: {self.path}"}, 404)

    def _commit(self, hub: Hub, body: bytes) -> None:
        name = self._repo("/api/models/")
        repo = hub.repos[name]
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                repo.messages.append(value["summary"])
            elif entry["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                repo.files[value["path"]] = hub.objects[value["oid"]]
        self._answer({"commitUrl": f"{hub.url}/{name}/commit/abc", "commitOid": "a" * 40})

    def _begin(self) -> Hub | None:
        """The hub if the token is right; None if an error has been sent."""
        hub: Hub = self.server.hub
        hub.paths.append(f"{self.command} {self.path}")
        status = hub.refuse_with
        if status is None and self.headers["Authorization"] != f"Bearer {TOKEN}":
            status = 401
        if status is None:
            return hub
        self._body()
        self._answer({"error": f"No, because {self.headers['Authorization']}"}, status)
        return None

    def _repo(self, prefix: str) -> str:
        parts = self.path.partition("?")[0].removeprefix(prefix).split("/")
        return "/".join(parts[:2])

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if "error" in content:
            self.send_header("X-Error-Message", content["error"])
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running_hub() -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = Hub(port=server.server_address[1])
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
