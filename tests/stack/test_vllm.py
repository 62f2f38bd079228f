"""A real vLLM in its own environment: WHETSTONE_VLLM_PYTHON names its interpreter."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from annotate.models import Completion, Policy
from tests.config.conftest import free_port
from tests.conftest import NO_VLLM, running, wait_for
from tests.factories import make_policy, make_project, make_prompt
from training.demo import MODEL_DIR
from training.exports.load_snippets import with_vllm
from training.models import Endpoint, LoopSettings
from training.sampling import jobs as sampling_jobs
from training.sampling.endpoint_worker import run_writing

PYTHON = os.environ.get("WHETSTONE_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.stack,
    pytest.mark.django_db,
    pytest.mark.skipif(not PYTHON, reason=NO_VLLM),
]
ENVIRONMENT = {
    **os.environ,
    "HF_HUB_OFFLINE": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
QUESTIONS = ("What is the capital of France?", "What is 3 plus 4?")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    port = free_port()
    command = [
        *(PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"),
        *("--port", str(port), "--model", str(MODEL_DIR), "--enable-lora"),
    ]
    log = django_settings.HOME / "vllm.log"

    def answers(process) -> bool:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except URLError:
            return False
        return True

    with running(command, log=log, env=ENVIRONMENT) as process:
        wait_for(lambda: answers(process), "vLLM", seconds=600)
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def adapter(tmp_path) -> Path:
    """An adapter that changes the built-in model's answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(MODEL_DIR)
    config = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(tmp_path / "sharpen-round-1-0123456789ab")
    return tmp_path / "sharpen-round-1-0123456789ab"


def said_by_peft(adapter: Path, question: str, tokens: int) -> str:
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    model = AutoPeftModelForCausalLM.from_pretrained(adapter)
    with torch.no_grad():
        written = model.generate(**asked, max_new_tokens=tokens, do_sample=False)
    return tokenizer.decode(written[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)


def test_it_loads_a_rounds_adapter_and_writes_what_peft_writes(address, adapter, settings):
    settings.ENDPOINT_HOSTS = ["127.0.0.1"]
    project = make_project()
    LoopSettings.objects.create(
        project=project, completions_per_prompt=1, max_new_tokens=16, temperature=0
    )
    for question in QUESTIONS:
        make_prompt(project, question)
    served = make_policy(project, "served", kind=Policy.Kind.ENDPOINT, state="retired")
    Endpoint.objects.create(
        project=project,
        policy=served,
        url=address,
        model=str(MODEL_DIR),
        sent=["temperature", "seed"],
        adapters_of=str(MODEL_DIR),
        approved_at=timezone.now(),
    )
    policy = make_policy(
        project,
        "round-1",
        kind=Policy.Kind.ADAPTER,
        base_model=str(MODEL_DIR),
        adapter_path=str(adapter),
    )
    (job,) = sampling_jobs.start_sampling(project=project)
    run_writing(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error, job.stored) == ("succeeded", "", 2)
    for completion in Completion.objects.filter(policy=policy).select_related("prompt"):
        question = completion.prompt.messages[-1]["content"]
        assert completion.text.strip() == said_by_peft(adapter, question, 16).strip()


def test_the_three_lines_answer(tmp_path):
    """Start vLLM from a script, because it starts processes that import the script again."""
    lines = with_vllm(str(MODEL_DIR))
    script = tmp_path / "load.py"
    script.write_text(f"{lines.guard}\n{indent(lines.text, '    ')}", encoding="utf-8")
    done = subprocess.run(
        [PYTHON, str(script)], env=ENVIRONMENT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line for line in done.stdout.splitlines() if line and "INFO" not in line]
