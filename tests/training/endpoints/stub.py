"""A real HTTP server with OpenAI's API that behaves as well or as badly as a test asks.

``Stub.script`` holds what happens to the next requests, one each, then ``Stub.then`` for all
others. It remembers every request, with its headers.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler", dict[str, Any]], None]


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Stub:
    port: int = 0
    script: deque[Behaviour] = field(default_factory=deque)
    then: Behaviour = field(default_factory=lambda: answer)
    requests: list[Request] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def asked(self) -> list[Request]:
        return [request for request in self.requests if request.path.endswith("/chat/completions")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        self._do()

    def do_GET(self) -> None:
        self._do()

    def _do(self) -> None:
        stub: Stub = self.server.stub
        size = int(self.headers.get("Content-Length", "0"))
        body = json.loads(self.rfile.read(size) or b"{}")
        with stub.lock:
            stub.requests.append(Request(self.path, dict(self.headers), body))
            behaviour = stub.script.popleft() if stub.script else stub.then
            stub.at_once += 1
            stub.most_at_once = max(stub.most_at_once, stub.at_once)
        try:
            behaviour(self, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with stub.lock:
                stub.at_once -= 1

    def log_message(self, *args: Any) -> None: ...

    def send(
        self, status: int, body: bytes, kind: str = "application/json", **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def begin_stream(self, kind: str = "text/event-stream") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True


def reply(text: str, reason: str = "stop", **usage: int) -> bytes:
    used = {"prompt_tokens": 7, "completion_tokens": 3, **usage}
    choice = {
        "index": 0,
        "finish_reason": reason,
        "message": {"role": "assistant", "content": text},
    }
    return json.dumps(
        {"id": "x", "object": "chat.completion", "choices": [choice], "usage": used}
    ).encode()


def answer_text(body: dict[str, Any]) -> str:
    return f"Answer to {body['messages'][-1]['content']} with {body.get('seed')}"


def answer(handler: Handler, body: dict[str, Any]) -> None:
    """A complete answer or a streamed one, as requested; a list of models for a GET."""
    if handler.command == "GET":
        listed = [{"id": "stub-model", "object": "model", "created": 0, "owned_by": "stub"}]
        handler.send(200, json.dumps({"object": "list", "data": listed}).encode())
    elif handler.path.endswith("/load_lora_adapter"):
        handler.send(200, b"Success: LoRA adapter added successfully.", "text/plain")
    elif body.get("stream"):
        handler.begin_stream()
        for word in answer_text(body).split(" "):
            handler.wfile.write(chunk(word + " "))
        handler.wfile.write(chunk("", "stop"))
        handler.wfile.write(b"data: [DONE]\n\n")
    else:
        handler.send(200, reply(answer_text(body)))


def chunk(text: str, reason: str | None = None) -> bytes:
    delta = {"content": text} if text else {}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    payload: dict[str, Any] = {"id": "x", "object": "chat.completion.chunk", "choices": [choice]}
    if reason:
        payload["usage"] = {"prompt_tokens": 7, "completion_tokens": 3}
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def says(text: str) -> Behaviour:
    return lambda handler, body: handler.send(200, reply(text))


def fails(status: int, message: str = "no", **headers: str) -> Behaviour:
    payload = json.dumps({"error": {"message": message}}).encode()
    return lambda handler, body: handler.send(status, payload, **headers)


def tells_the_key(status: int) -> Behaviour:
    """An error that quotes the request's API key."""

    def behave(handler: Handler, body: dict[str, Any]) -> None:
        fails(status, f"bad key: {handler.headers['Authorization']}")(handler, body)

    return behave


def answers_the_key(handler: Handler, body: dict[str, Any]) -> None:
    handler.send(200, reply(f"You sent {handler.headers['Authorization']}"))


def malformed(handler: Handler, body: dict[str, Any]) -> None:
    handler.send(200, b'{"choices": [{"message": ')


def not_a_completion(handler: Handler, body: dict[str, Any]) -> None:
    handler.send(200, b'{"choices": [], "usage": {"completion_tokens": -4}}')


def web_page(handler: Handler, body: dict[str, Any]) -> None:
    handler.send(200, b"<html>Sign in to the WiFi</html>", "text/html")


def drops(handler: Handler, body: dict[str, Any]) -> None:
    """Half an answer, then nothing: the connection is gone."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.close_connection = True


def redirects(to: str) -> Behaviour:
    return lambda handler, body: handler.send(307, b"", Location=to)


def slow(seconds: float) -> Behaviour:
    def behave(handler: Handler, body: dict[str, Any]) -> None:
        handler.server.stub.closing.wait(seconds)
        answer(handler, body)

    return behave


def drips(handler: Handler, body: dict[str, Any]) -> None:
    """A byte now and then, forever."""
    handler.begin_stream("application/json")
    while not handler.server.stub.closing.is_set():
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def endless(handler: Handler, body: dict[str, Any]) -> None:
    """As much as the client reads, forever."""
    handler.begin_stream("text/event-stream" if body.get("stream") else "application/json")
    block = chunk("more and more ") * 200
    while not handler.server.stub.closing.is_set():
        handler.wfile.write(block)


def oversized(handler: Handler, body: dict[str, Any]) -> None:
    handler.send(200, reply("x" * 20_000_000))


def compressed(handler: Handler, body: dict[str, Any]) -> None:
    """A small compressed body that decompresses to a huge one."""
    handler.send(200, gzip.compress(reply("x" * 10_000_000)), Content_Encoding="gzip")


@contextmanager
def running_stub() -> Iterator[Stub]:
    """A stub on a free port of the loopback address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub = Stub(port=server.server_address[1])
    server.stub = stub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
