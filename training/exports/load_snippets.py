"""Three lines that load what a round made, shown on its page. The tests run the very same text."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Lines:
    """``text`` is Python; in a script of one's own it stands below the line ``guard``."""

    library: str
    text: str
    guard: str = ""


def with_peft(adapter: str, base: str) -> Lines:
    """The adapter on its base. ``adapter`` and ``base`` are folders, or names on a hub."""
    return Lines(
        "peft",
        "import peft, transformers\n"
        f"tokenizer = transformers.AutoTokenizer.from_pretrained({base!r})\n"
        f"model = peft.AutoPeftModelForCausalLM.from_pretrained({adapter!r})\n",
    )


def with_transformers(merged: str) -> Lines:
    """The merged model."""
    return Lines(
        "transformers",
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        f"tokenizer = AutoTokenizer.from_pretrained({merged!r})\n"
        f'model = AutoModelForCausalLM.from_pretrained({merged!r}, dtype="auto")\n',
    )


def with_vllm(merged: str) -> Lines:
    """The merged model, served."""
    return Lines(
        "vLLM",
        "from vllm import LLM\n"
        f"model = LLM({merged!r})\n"
        'print(model.chat([{"role": "user", "content": "Hello"}])[0].outputs[0].text)\n',
        guard='if __name__ == "__main__":',
    )
