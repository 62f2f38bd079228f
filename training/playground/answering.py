"""Writing one answer of a tryout, by the engine or by an endpoint, as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db.models import F

from annotate.completions import storable
from training.artifacts import localised
from training.claims import Claim, claim
from training.endpoints.answers import Trouble
from training.endpoints.client import Piece, connected
from training.endpoints.models import Endpoint
from training.endpoints.routing import adapter_path, endpoint_of, model_name
from training.engine.config import EXIT_STOPPED, job_from_dict, write_job
from training.engine_process import Progress, Tail, Wish, log_tail, read_partial, run_engine
from training.models import Job
from training.playground.models import TryoutAnswer

logger = logging.getLogger(__name__)
LOOK_EVERY_SECONDS = 0.4
Stopping = Callable[[], bool]


def run_answer(pk: int, *, stopping: Stopping = lambda: False) -> None:
    """Write answer ``pk``; record why, where that fails."""
    claimed = claim(TryoutAnswer, pk)
    if claimed is None:
        return
    answer, held = claimed
    try:
        if answer.is_served:
            _ask_endpoint(answer, held, stopping)
        else:
            _ask_engine(answer, held, stopping)
    except Exception as error:
        logger.exception("%s", answer)
        held.end(Job.State.FAILED, error=f"{type(error).__name__}: {error}")
        raise


# --- by the engine ---


def _ask_engine(answer: TryoutAnswer, held: Claim, stopping: Stopping) -> None:
    run_dir = Path(settings.RUNS_DIR) / f"tryout-{answer.pk}-{answer.created_at:%Y%m%d-%H%M%S}"
    run_dir.mkdir(parents=True, exist_ok=True)
    held.update(run_dir=str(run_dir))
    write_job(job_from_dict(localised({**answer.config, "show_partial": True})), run_dir)
    line = {
        "id": "tryout",
        "messages": answer.tryout.messages,
        "policy": answer.policy.slug,
        "seed": answer.seed,
    }
    (run_dir / "prompts.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")

    def follow(progress: Progress) -> Wish:
        so_far = storable(read_partial(run_dir).get("tryout", ""))
        if not held.update(phase=progress.phase, text=so_far):
            return "lost"
        return "stop" if stopping() or _cancel_asked(answer) else "go on"

    ending = run_engine(kind="sample", run_dir=run_dir, follow=follow, attempt=held.attempt)
    written = list(Tail(run_dir / "completions.jsonl").read())
    if ending.result is not None and written:
        (line,) = written
        held.end(
            Job.State.SUCCEEDED,
            text=storable(str(line["text"])),
            finish_reason=line["finish_reason"],
            token_count=line["token_count"],
        )
        shutil.rmtree(run_dir, ignore_errors=True)  # all that is in it is in the row
    elif _cancel_asked(answer):
        held.end(Job.State.CANCELLED)
    elif ending.status == EXIT_STOPPED or stopping():
        held.hand_back()
    else:
        held.end(Job.State.FAILED, error=ending.words(), log_tail=log_tail(run_dir))


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
        self.piece = Piece()
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

    def _take(self, piece: Piece) -> None:
        self.piece = piece
        self.finish_reason = piece.finish_reason or self.finish_reason
        self.read = piece.prompt_tokens or self.read
        if piece.completion_tokens is not None:
            self.written = piece.completion_tokens


def _ask_endpoint(answer: TryoutAnswer, held: Claim, stopping: Stopping) -> None:
    endpoint = endpoint_of(answer.policy)
    if endpoint is None:
        held.end(Job.State.FAILED, error="The endpoint is gone.")
        return
    heard = _Listener(answer, endpoint)
    held.update(phase="asking the endpoint", text="")
    with asyncio.Runner() as runner:
        listening = runner.get_loop().create_task(heard.listen())
        try:
            while not listening.done():
                runner.run(_wait(listening))
                if not held.update(text=storable(heard.piece.text)):
                    return
                if stopping() or _cancel_asked(answer):
                    break
        finally:
            listening.cancel()
            runner.run(_settled(listening))
        _end_served(answer, held, endpoint, heard, listening, stopping)


async def _wait(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task}, timeout=LOOK_EVERY_SECONDS)


async def _settled(task: asyncio.Task[None]) -> None:
    await asyncio.gather(task, return_exceptions=True)


def _end_served(
    answer: TryoutAnswer,
    held: Claim,
    endpoint: Endpoint,
    heard: _Listener,
    listening: asyncio.Task[None],
    stopping: Stopping,
) -> None:
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
        if stopping() and not _cancel_asked(answer):
            held.hand_back()
        else:
            held.end(Job.State.CANCELLED, **came)
        return
    error = listening.exception()
    if isinstance(error, Trouble):
        held.end(Job.State.FAILED, error=str(error), **came)
    elif error is not None:
        raise error
    else:
        held.end(Job.State.SUCCEEDED, **came)


def _cancel_asked(answer: TryoutAnswer) -> bool:
    return TryoutAnswer.objects.filter(pk=answer.pk, cancel_requested_at__isnull=False).exists()
