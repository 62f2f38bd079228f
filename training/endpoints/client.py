"""One endpoint, asked through the official client. Knows no database and no job.

Everything that goes wrong comes out as Trouble, in words, without the key.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import Any

import httpx2
import openai
from django.conf import settings
from django.utils.translation import gettext as _

from training.endpoints.answers import (
    EndpointAnswer,
    EndpointError,
    endpoint_error_of,
    read_answer,
    usage_of,
)
from training.endpoints.guard import (
    AddressRefused,
    GuardedTransport,
    HostRules,
    Origin,
    TooLarge,
    origin_of,
)
from training.endpoints.keys import ApiKey, KeyUnreadable, unseal
from training.models import Endpoint

CONNECT_SECONDS = 10.0
BYTES = 1 << 20
BYTES_A_TOKEN = 2048
"""What a token may take on the wire: streamed, each comes in an envelope of its own."""

BEYOND_OPENAI = ("top_k", "min_p", "repetition_penalty")
"""Sent only where a project sets them: OpenAI's own servers refuse what they do not know."""

Messages = Sequence[dict[str, str]]


@dataclasses.dataclass(frozen=True)
class StreamedPiece:
    """A streamed answer so far; at its end, why it ended and what it took."""

    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Client:
    """Requests to one endpoint. Use ``connected``."""

    def __init__(
        self, endpoint: Endpoint, origin: Origin, key: ApiKey, transport: GuardedTransport
    ) -> None:
        self._endpoint, self._origin, self._key = endpoint, origin, key
        self._transport = transport
        self._http = httpx2.AsyncClient(transport=transport, trust_env=False)
        seconds = endpoint.timeout_seconds
        self._openai = openai.AsyncOpenAI(
            base_url=endpoint.url,
            api_key="in-the-transport",  # the real one is added where the host is known
            organization="",
            project="",
            max_retries=0,
            timeout=httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
            http_client=self._http,
        )

    async def answer(
        self, messages: Messages, sampling: dict[str, Any], *, model: str = "", seed: int = 0
    ) -> EndpointAnswer:
        """One whole completion. Raises Trouble."""
        with self._in_words():
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                raw = await self._openai.chat.completions.with_raw_response.create(
                    **self._request(messages, sampling, model, seed)
                )
            answer = read_answer(raw.content)
            return dataclasses.replace(answer, text=self._key.scrub(answer.text))
        raise AssertionError  # pragma: no cover - what is caught is raised again

    async def stream(
        self, messages: Messages, sampling: dict[str, Any], *, model: str = "", seed: int = 0
    ) -> AsyncGenerator[StreamedPiece, None]:
        """A completion in pieces, as they come. Raises Trouble, after what had come by then."""
        with self._in_words():
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                async with await self._openai.chat.completions.create(
                    **self._request(messages, sampling, model, seed),
                    stream=True,
                    stream_options={"include_usage": True},
                ) as chunks:
                    so_far = ended = ""
                    async for chunk in chunks:
                        piece = _piece(chunk.to_dict())
                        so_far += piece.text
                        ended = ended or piece.finish_reason
                        yield dataclasses.replace(piece, text=self._key.scrub(so_far))
            if not ended:
                raise EndpointError(_("The endpoint ended the answer before it was whole."))

    async def models(self) -> list[str]:
        """The models that the endpoint says it serves. Raises Trouble."""
        with self._in_words():
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                page = await self._openai.models.list()
            return sorted(str(self._key.scrub(model.id)) for model in page.data if model.id)
        raise AssertionError  # pragma: no cover - what is caught is raised again

    async def load_adapter(self, *, name: str, path: str) -> None:
        """Tell a vLLM of an adapter; one that it has already is fine. Raises Trouble."""
        with self._in_words():
            try:
                async with asyncio.timeout(self._endpoint.timeout_seconds):
                    await self._openai.post(
                        "/load_lora_adapter",
                        body={"lora_name": name, "lora_path": path},
                        cast_to=httpx2.Response,
                    )
            except openai.APIStatusError as error:
                if "already" not in error.response.text:
                    raise

    def _request(
        self, messages: Messages, sampling: dict[str, Any], model: str, seed: int
    ) -> dict[str, Any]:
        endpoint = self._endpoint
        self._transport.most_bytes = BYTES + BYTES_A_TOKEN * int(sampling["max_new_tokens"])
        asked: dict[str, Any] = {
            "model": model or endpoint.model,
            "messages": list(messages),
            endpoint.length_parameter: sampling["max_new_tokens"],
        }
        for name in ("temperature", "top_p", "stop"):
            if name in sampling:
                asked[name] = sampling[name]
        if Endpoint.Sent.SEED in endpoint.sent:
            asked["seed"] = wire_seed(seed)
        if sampling.get("stop_sequences"):  # the name in a project's own settings
            asked["stop"] = list(sampling["stop_sequences"])
        more = {name: sampling[name] for name in BEYOND_OPENAI if sampling.get(name)}
        if more:
            asked["extra_body"] = more
        return asked

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Whatever went wrong, as Trouble; ``from None``, so that no traceback tells more."""
        try:
            yield
        except EndpointError as trouble:
            raise self._scrubbed(trouble) from None
        except openai.APIStatusError as error:
            data = self._json_of(error.response)
            retry_after = error.response.headers.get("retry-after", "")
            raise self._scrubbed(endpoint_error_of(error.status_code, data, retry_after)) from None
        except (
            openai.OpenAIError,
            httpx2.HTTPError,
            AddressRefused,
            TimeoutError,
            ValueError,
        ) as error:
            raise self._other(error) from None

    def _scrubbed(self, trouble: EndpointError) -> EndpointError:
        return EndpointError(self._key.scrub(str(trouble)), trouble.kind, trouble.wait)

    def _json_of(self, response: httpx2.Response) -> Any:
        # The key goes first: what is cut short later could keep a part of it.
        try:
            return json.loads(self._key.scrub(response.text))
        except (ValueError, RecursionError, httpx2.ResponseNotRead):
            return None

    def _other(self, error: BaseException) -> EndpointError:
        host = f"{self._origin.host}:{self._origin.port}"
        for cause in _causes(error):
            if isinstance(cause, TooLarge):
                return EndpointError(str(cause), "prompt")
            if isinstance(cause, AddressRefused):
                return EndpointError(str(cause), "endpoint")
            if isinstance(cause, httpx2.ConnectError):
                message = _("%(host)s cannot be reached.")
                return EndpointError(message % {"host": host})
        for cause in _causes(error):
            if isinstance(cause, TimeoutError | httpx2.TimeoutException | openai.APITimeoutError):
                message = _("%(host)s did not finish its answer within %(seconds)s seconds.")
                seconds = self._endpoint.timeout_seconds
                return EndpointError(message % {"host": host, "seconds": seconds})
            if isinstance(cause, httpx2.TransportError):
                return EndpointError(_("%(host)s broke the connection off.") % {"host": host})
        return EndpointError(_("%(host)s gave an answer that cannot be read.") % {"host": host})


@contextlib.asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[Client]:
    """A client of ``endpoint``. Raises Trouble where its address or key cannot be used."""
    try:
        origin = origin_of(endpoint.url)
        rules = HostRules.of(settings.ENDPOINT_HOSTS)
        rules.check_origin(origin)
        key = unseal(endpoint.key_sealed, origin)
    except (AddressRefused, KeyUnreadable) as error:
        raise EndpointError(str(error), "endpoint") from None
    transport = GuardedTransport(origin=origin, rules=rules, key=key.value, most_bytes=BYTES)
    client = Client(endpoint, origin, key, transport)
    try:
        yield client
    finally:
        await transport.aclose()


def wire_seed(seed: int) -> int:
    """The seed as it is sent: llama.cpp and Ollama take 32 bits, signed."""
    return seed & 0x7FFF_FFFF


def _piece(data: dict[str, Any]) -> StreamedPiece:
    prompt_tokens, completion_tokens = usage_of(data)
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    delta = choice.get("delta") if isinstance(choice, dict) else None
    text = delta.get("content") if isinstance(delta, dict) else None
    reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    return StreamedPiece(
        text=text if isinstance(text, str) else "",
        finish_reason=reason[:20] if isinstance(reason, str) else "",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _step in range(10):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
