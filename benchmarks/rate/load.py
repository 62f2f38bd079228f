"""Raters without a pause for thought, each with a connection, a session and CSRF of its own.

Every rater does what the page's script does: it shows a card, holds the next one, sends the
verdict for the shown one and gets the card after the next. The time is from sending a verdict to
having the answer, whole. Knows only HTTP: run as ``python -m benchmarks.rate.load`` with a JSON
object on standard input, it prints one.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlencode

CARD = re.compile(r'action="[^"]*/rate/([0-9a-f-]{36})/"')
TOKEN = re.compile(r"csrftoken=([^;]+)")


@dataclass
class Tally:
    """What all raters together saw."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    codes: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: float, status: str, code: str) -> None:
        with self.lock:
            self.seconds.append(seconds)
            self.statuses[status] += 1
            self.codes.append(code)


class Rater:
    """One person's browser."""

    def __init__(self, port: int, slug: str, session: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.path = f"/p/{slug}/rate/"
        self.cookie = f"sessionid={session}"
        self.token = ""
        self.random = random.Random(session)
        self.shown: str | None = None
        self.ahead: str | None = None

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
        headers["Cookie"] = self.cookie
        for again in (False, True):
            try:
                self.connection.request(method, path, body or None, headers)
                answer = self.connection.getresponse()
                break
            except (ConnectionError, http.client.RemoteDisconnected):
                # A kept connection that had been idle too long: a browser asks once more, too.
                self.connection.close()
                if again:
                    raise
        text = answer.read().decode()
        match = TOKEN.search(answer.headers.get("Set-Cookie") or "")
        if match:
            self.token = match[1]
            self.cookie = f"{self.cookie.split(';')[0]}; csrftoken={self.token}"
        return answer.status, text

    def arrive(self) -> None:
        """The page, and the card ahead."""
        status, page = self.ask("GET", self.path)
        match = CARD.search(page)
        if status != 200 or not match:
            raise RuntimeError(f"no card on the page: {status}")
        self.shown = match[1]
        status, text = self.ask(
            "GET", f"{self.path}ahead/?after={self.shown}", **{"X-Whetstone": "card"}
        )
        self.ahead = json.loads(text)["code"]

    def vote(self, tally: Tally) -> bool:
        """One verdict; False where there is nothing left to judge."""
        if self.shown is None:
            return False
        choice = self.random.choice(["left", "right", "left", "right", "tie"])
        body = urlencode({"choice": choice, "showing": self.ahead or ""})
        began = time.perf_counter()
        status, text = self.ask(
            "POST",
            f"{self.path}{self.shown}/",
            body,
            **{
                "X-Whetstone": "card",
                "X-CSRFToken": self.token,
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        took = time.perf_counter() - began
        answer = json.loads(text) if status == 200 else {"status": f"{status}", "code": None}
        tally.add(took, answer["status"], self.shown)
        self.shown, self.ahead = self.ahead, answer["code"]
        return True


def together(raters: list[Rater], votes: int) -> dict[str, object]:
    """All raters at once until ``votes`` are in."""
    tally, left, errors = Tally(), [votes], []
    lock = threading.Lock()
    for rater in raters:
        rater.arrive()

    def work(rater: Rater) -> None:
        while True:
            with lock:
                if left[0] <= 0:
                    return
                left[0] -= 1
            try:
                if not rater.vote(tally):
                    return
            except (OSError, http.client.HTTPException, ValueError) as error:
                errors.append(repr(error))
                return

    threads = [threading.Thread(target=work, args=[rater]) for rater in raters]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    stored = tally.statuses["stored"]
    return {
        "seconds": tally.seconds,
        "votes": stored,
        "votes_per_s": stored / took,
        "errors": len(errors) + sum(tally.statuses.values()) - stored,
        "what_errors": [*errors[:5], *(s for s in tally.statuses if s != "stored")],
        "duplicates": len(tally.codes) - len(set(tally.codes)),
    }


def main() -> None:
    task = json.load(sys.stdin)
    raters = [
        Rater(task["port"], task["project"], session)
        for session in task["sessions"][: task["raters"]]
    ]
    print(json.dumps(together(raters, task["votes"])))


if __name__ == "__main__":
    main()
