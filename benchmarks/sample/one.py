"""One sampler, one task, in a process of its own: ``python -m benchmarks.sample.one WHO DIR``.

WHO is ``ours``, ``generate`` (transformers' ``generate`` as its documentation shows: a policy after
the other, padded batches, ``num_return_sequences``) or ``batching`` (transformers' continuous
batching). DIR holds ``task.json``. The last line printed is JSON: seconds of the whole (model and
adapters loaded, tokens made, everything sampled), processor time, peak memory, how many tokens came
out, and for greedy tasks the texts. Libraries are imported before the clock starts, for all alike.
"""

from __future__ import annotations

import json
import logging
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

Task = dict[str, Any]
Texts = dict[str, str]


def main() -> None:
    who, folder = sys.argv[1], Path(sys.argv[2])
    task: Task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    torch.set_num_threads(task["threads"])
    result = ours(folder, task) if who == "ours" else theirs(who, task)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**result, "peak_mib": peak}))


def ours(folder: Path, task: Task) -> dict[str, Any]:
    """The engine's own command, from job.json to result.json."""
    from training.engine.__main__ import run_job
    from training.engine.commands.sample import run as _imported  # noqa: F401
    from training.engine.config import Model, SampleJob, Sampling, write_job

    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    lines = [
        {"id": f"{policy}:{i}:{draw}", "messages": m, "policy": str(policy), "seed": i * 100 + draw}
        for policy in range(len(task["adapters"]))
        for i, m in enumerate(task["prompts"])
        for draw in range(task["samples"])
    ]
    (run / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = SampleJob(
        model=Model(base=task["base"]),
        adapters={str(policy): path for policy, path in enumerate(task["adapters"])},
        sampling=Sampling(
            temperature=0.0 if task["greedy"] else 1.0, max_new_tokens=task["new_tokens"]
        ),
        batch_size=task["rows"],
    )
    write_job(job, run)
    began, cpu = time.monotonic(), time.process_time()
    if run_job("sample", run) != 0:
        raise SystemExit((run / "error.json").read_text())
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    rows = [json.loads(line) for line in (run / "completions.jsonl").open(encoding="utf-8")]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "way": json.loads((run / "result.json").read_text())["way"],
        "completions": len(rows),
        "tokens": sum(row["token_count"] for row in rows),
        "texts": {row["id"].rpartition(":")[0]: row["text"] for row in rows},
    }


def theirs(who: str, task: Task) -> dict[str, Any]:
    """One base in memory with all adapters, each set active in turn."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    logging.getLogger("transformers").setLevel(logging.ERROR)
    began, cpu = time.monotonic(), time.process_time()
    tokenizer = AutoTokenizer.from_pretrained(task["base"], padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(task["base"])
    first, *more = task["adapters"]
    model = PeftModel.from_pretrained(model, first, adapter_name="policy_0")
    for number, path in enumerate(more, 1):
        model.load_adapter(path, adapter_name=f"policy_{number}")
    model.eval()
    write = generate if who == "generate" else batching
    texts: Texts = {}
    tokens = completions = 0
    for policy in range(len(task["adapters"])):
        model.set_adapter(f"policy_{policy}")
        with torch.no_grad():
            answers = write(model, tokenizer, task)
        for prompt, ids in answers:
            texts[f"{policy}:{prompt}"] = tokenizer.decode(ids, skip_special_tokens=True).rstrip()
            tokens += len(ids)
            completions += 1
    return {
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "completions": completions,
        "tokens": tokens,
        "texts": texts,
    }


def _drawing(task: Task) -> dict[str, Any]:
    if task["greedy"]:
        return {"do_sample": False}
    return {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}


def generate(model: Any, tokenizer: Any, task: Task) -> list[tuple[int, list[int]]]:
    """(prompt, new tokens) of every answer; batches in the order of the file, as anybody's are."""
    answers = []
    at_once = max(1, task["peer_rows"] // task["samples"])
    for start in range(0, len(task["prompts"]), at_once):
        batch = tokenizer.apply_chat_template(
            task["prompts"][start : start + at_once],
            add_generation_prompt=True,
            padding=True,
            return_dict=True,
            return_tensors="pt",
        )
        output = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=task["new_tokens"],
            num_return_sequences=task["samples"],
            **_drawing(task),
        )
        width = batch["input_ids"].shape[1]
        for place, row in enumerate(output[:, width:].tolist()):
            answers.append((start + place // task["samples"], _until_end(row, tokenizer)))
    return answers


def batching(model: Any, tokenizer: Any, task: Task) -> list[tuple[int, list[int]]]:
    """The same through ``generate_batch``, whose cache is told to hold what there is to hold."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    inputs = [
        tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        for messages in task["prompts"]
    ]
    outputs = model.get_base_model().generate_batch(
        inputs=inputs,
        generation_config=GenerationConfig(
            max_new_tokens=task["new_tokens"],
            num_return_sequences=task["samples"],
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **_drawing(task),
        ),
        continuous_batching_config=ContinuousBatchingConfig(**task["batching"]),
    )
    expected = len(inputs) * task["samples"]
    if len(outputs) != expected:
        raise SystemExit(f"generate_batch gave {len(outputs)} answers of {expected}")
    return [
        (place // task["samples"], _until_end(list(output.generated_tokens), tokenizer))
        for place, output in enumerate(outputs.values())
    ]


def _until_end(row: list[int], tokenizer: Any) -> list[int]:
    end = tokenizer.eos_token_id
    return row[: row.index(end) + 1] if end in row else row


if __name__ == "__main__":
    main()
