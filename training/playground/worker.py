"""Writing one answer of a tryout, by the engine or by an endpoint, as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from typing import Any

from django.db.models import F

from annotate.content.completions import storable
from training.endpoints.answers import EndpointError
from training.endpoints.client import StreamedPiece, connected
from training.endpoints.routing import adapter_path, endpoint_of, model_name
from training.jobs.engine_process import Tail, read_partial
from training.jobs.worker import EngineWorker, Stopping, Worker, never_stopping
from training.models import Endpoint, Job, TryoutAnswer

LOOK_EVERY_SECONDS = 0.4


def run_answer(pk: int, *, stopping: Stopping = never_stopping) -> None:
    """Write answer ``pk``; record why, where that fails."""
    answer = TryoutAnswer.objects.filter(pk=pk).first()
    if answer is not None:
        worker = ServedAnswerWorker if answer.is_served else AnswerWorker
        worker.run(pk, stopping=stopping)


class AnswerWorker(EngineWorker[TryoutAnswer]):
    """Has the engine write one answer, shown as it comes."""

    model = TryoutAnswer
    is_tried_again = False  # somebody waits, and can ask again

    def name_of_run(self) -> str:
        return f"tryout-{self.job.pk}-{self.job.created_at:%Y%m%d-%H%M%S}"

    def engine_job(self) -> dict[str, Any]:
        return {**self.job.config, "show_partial": True}

    def prepare(self) -> bool:
        line = {
            "id": "tryout",
            "messages": self.job.tryout.messages,
            "policy": self.job.policy.slug,
            "seed": self.job.seed,
        }
        path = self.run_dir / "prompts.jsonl"
        path.write_text(json.dumps(line) + "\n", encoding="utf-8")
        return True

    def read(self) -> dict[str, Any]:
        return {"text": storable(read_partial(self.run_dir).get("tryout", ""))}

    def adopt(self) -> None:
        (line,) = Tail(self.run_dir / "completions.jsonl").read()
        self.held.end(
            Job.State.SUCCEEDED,
            text=storable(str(line["text"])),
            finish_reason=line["finish_reason"],
            token_count=line["token_count"],
        )
        shutil.rmtree(self.run_dir, ignore_errors=True)  # all that is in it is in the row


# --- by an endpoint ---


class _Listener:
    """What has come of a streamed answer so far. Asks the database nothing while it listens."""

    def __init__(self, answer: TryoutAnswer, endpoint: Endpoint) -> None:
        policy = answer.policy
        self._endpoint = endpoint
        self._messages = answer.tryout.messages
        self._sampling = answer.config["sampling"]
        self._seed = answer.seed
        self._model = model_name(endpoint, policy)
        self._adapter = (
            adapter_path(endpoint, policy) if policy.kind == policy.Kind.ADAPTER else None
        )
        self.piece = StreamedPiece()
        self.finish_reason = ""
        self.read = 0
        self.written: int | None = None

    async def listen(self) -> None:
        async with connected(self._endpoint) as client:
            if self._adapter is not None:
                await client.load_adapter(name=self._model, path=self._adapter)
            pieces = client.stream(
                self._messages, self._sampling, model=self._model, seed=self._seed
            )
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    self._take(piece)

    def _take(self, piece: StreamedPiece) -> None:
        self.piece = piece
        self.finish_reason = piece.finish_reason or self.finish_reason
        self.read = piece.prompt_tokens or self.read
        if piece.completion_tokens is not None:
            self.written = piece.completion_tokens


class ServedAnswerWorker(Worker[TryoutAnswer]):
    """Has an endpoint write one answer, shown as it comes."""

    model = TryoutAnswer

    def work(self) -> None:
        endpoint = endpoint_of(self.job.policy)
        if endpoint is None:
            self.held.end(Job.State.FAILED, error="The endpoint is gone.")
            return
        heard = _Listener(self.job, endpoint)
        self.held.update(phase="asking the endpoint", text="")
        with asyncio.Runner() as runner:
            listening = runner.get_loop().create_task(heard.listen())
            try:
                while not listening.done():
                    runner.run(_wait(listening))
                    if not self.held.update(text=storable(heard.piece.text)):
                        return
                    if self.stopping() or self.cancel_asked():
                        break
            finally:
                listening.cancel()
                runner.run(_settled(listening))
            self._end(endpoint, heard, listening)

    def _end(self, endpoint: Endpoint, heard: _Listener, listening: asyncio.Task[None]) -> None:
        came = {
            "text": storable(heard.piece.text),
            "finish_reason": heard.finish_reason,
            "token_count": heard.written,
        }
        written = heard.written or 0
        Endpoint.objects.filter(pk=endpoint.pk).update(
            prompt_tokens=F("prompt_tokens") + heard.read,
            completion_tokens=F("completion_tokens") + written,
            cost=F("cost") + endpoint.cost_of(heard.read, written),
        )
        if listening.cancelled():
            if self.stopping() and not self.cancel_asked():
                self.held.hand_back()
            else:
                self.held.end(Job.State.CANCELLED, **came)
            return
        error = listening.exception()
        if isinstance(error, EndpointError):
            self.held.end(Job.State.FAILED, error=str(error), **came)
        elif error is not None:
            raise error
        else:
            self.held.end(Job.State.SUCCEEDED, **came)


async def _wait(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task}, timeout=LOOK_EVERY_SECONDS)


async def _settled(task: asyncio.Task[None]) -> None:
    await asyncio.gather(task, return_exceptions=True)
