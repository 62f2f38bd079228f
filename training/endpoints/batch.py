"""Draws that are asked of an endpoint side by side, with patience. Knows no database.

The event loop runs only inside ``work``: between two calls everything stands still, so what has
come can be stored by the thread that runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from training.endpoints.answers import EndpointAnswer, EndpointError, RetryPolicy
from training.endpoints.client import Client, Messages, connected
from training.models import Endpoint


@dataclasses.dataclass(frozen=True)
class DrawRequest:
    """One completion that is asked for."""

    prompt: int
    seed: int
    messages: Messages


class Batch:
    """``concurrency`` requests at a time, and what became of each."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        model: str,
        sampling: dict[str, Any],
        patience: RetryPolicy,
    ) -> None:
        self._endpoint, self._model, self._sampling = endpoint, model, sampling
        self._patience = patience
        self._waiting: deque[DrawRequest] = deque()
        self._at_work: set[asyncio.Task[None]] = set()
        self._client: Client | None = None
        self._stack = contextlib.AsyncExitStack()
        self._done: list[tuple[DrawRequest, EndpointAnswer]] = []
        self._in_a_row = 0
        self._resting = 0
        self.failed: list[EndpointError] = []
        self.fatal: EndpointError | None = None
        """Why no further draw will come: set once, and no more is asked."""

    @property
    def hungry(self) -> int:
        """How many more draws it could take on."""
        return max(0, 2 * self._endpoint.concurrency - len(self._waiting))

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._at_work

    @property
    def resting(self) -> bool:
        """Whether all who are at work wait before they try again."""
        return 0 < len(self._at_work) == self._resting

    def feed(self, draws: Iterable[DrawRequest]) -> None:
        self._waiting.extend(draws)

    async def load_adapter(self, *, name: str, path: str) -> None:
        """Tell the endpoint of an adapter. Raises Trouble once patience is at its end."""
        client = await self._connected()
        await self._patiently(lambda: client.load_adapter(name=name, path=path))

    async def work(self, seconds: float) -> list[tuple[DrawRequest, EndpointAnswer]]:
        """Ask for up to ``seconds``; what has come by then. Less where there is nothing to do."""
        try:
            await self._connected()
        except EndpointError as trouble:
            self.fatal = trouble
        until = asyncio.get_running_loop().time() + seconds
        while self.fatal is None:
            while self._waiting and len(self._at_work) < self._endpoint.concurrency:
                self._at_work.add(asyncio.create_task(self._one(self._waiting.popleft())))
            left = until - asyncio.get_running_loop().time()
            if not self._at_work or left <= 0:
                break
            ended, self._at_work = await asyncio.wait(
                self._at_work, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                task.result()  # nothing but a fault of ours is raised here
        if self.fatal is not None:
            await self._rest()
        done, self._done = self._done, []
        return done

    async def close(self) -> None:
        """Drop what is under way."""
        await self._rest()
        await self._stack.aclose()

    async def _rest(self) -> None:
        self._waiting.clear()
        for task in self._at_work:
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)
        self._at_work = set()

    async def _connected(self) -> Client:
        if self._client is None:
            self._client = await self._stack.enter_async_context(connected(self._endpoint))
        return self._client

    async def _one(self, draw: DrawRequest) -> None:
        client = await self._connected()
        try:
            answer = await self._patiently(
                lambda: client.answer(
                    draw.messages, self._sampling, model=self._model, seed=draw.seed
                )
            )
        except EndpointError as trouble:
            self._give_up(trouble)
        else:
            self._in_a_row = 0
            self._done.append((draw, answer))

    def _give_up(self, trouble: EndpointError) -> None:
        self.failed.append(trouble)
        self._in_a_row += 1
        # One prompt may be at fault, or a few; when nothing comes any more, it is not they.
        hopeless = trouble.kind == "passing" and self._in_a_row >= self._endpoint.concurrency
        if self.fatal is None and (trouble.kind == "endpoint" or hopeless):
            self.fatal = trouble

    async def _patiently(self, ask: Callable[[], Any]) -> Any:
        for tried in range(1, self._patience.tries + 1):
            try:
                return await ask()
            except EndpointError as trouble:
                if trouble.kind != "passing" or tried == self._patience.tries:
                    raise
                wait = self._patience.wait(tried, trouble.wait, random.random())
            self._resting += 1
            try:
                await asyncio.sleep(wait)
            finally:
                self._resting -= 1
        raise AssertionError("no tries")  # pragma: no cover
