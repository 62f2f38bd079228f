"""The model and its adapters: loading, switching, publishing. Knows nothing of training.

Only safetensors weights are read or written, and only LoRA adapters on inner linear layers:
an adapter on the head or the embeddings would change what the fused head assumes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    set_seed,
)

from training.engine.config import ADAPTER_WEIGHTS, Lora, Model
from training.engine.errors import EngineError, is_out_of_memory
from training.engine.runtime.run_dir import publish_folder, sha256_of, write_json

CONFIG = "adapter_config.json"
OUTER = ("lm_head", "embed_out", "embed_tokens", "wte", "wpe", "word_embeddings", "output_layer")
TRAINED = "default"  # peft's name for the adapter that is saved at a folder's top
REFERENCE = "reference"
log = logging.getLogger("engine")


def load_tokenizer(model: Model) -> Any:
    """The base's tokenizer. Raises EngineError where it cannot be had."""
    with _explained(model):
        tokenizer = AutoTokenizer.from_pretrained(model.base, **_source(model))
    if tokenizer.pad_token_id is None:
        # Padding is masked everywhere, so any token will do.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def load_base(
    model: Model, dtype: torch.dtype, device: torch.device, *, four_bit: bool = False
) -> Any:
    """The frozen base on ``device``, without dropout, in eval mode; on "meta" its shape alone.

    ``four_bit``: its inner linear layers in NF4 with doubly quantised scales (QLoRA, Dettmers et
    al. 2023), computing in ``dtype``; embeddings, norms and head stay as they are.
    """
    base, _ = _load(AutoModelForCausalLM, model, dtype, device, four_bit)
    return base


def load_classifier(
    kind: Any, model: Model, dtype: torch.dtype, device: torch.device, *, four_bit: bool = False
) -> tuple[Any, dict[str, Any]]:
    """As ``load_base``, as transformers' ``kind`` with one label; and what the files lacked."""
    return _load(kind, model, dtype, device, four_bit, num_labels=1)


def _load(
    kind: Any,
    model: Model,
    dtype: torch.dtype,
    device: torch.device,
    four_bit: bool,
    **wanted: Any,
) -> tuple[Any, dict[str, Any]]:
    if device.type == "meta":
        return _shape_of(kind, model, dtype, **wanted), {"missing_keys": []}
    settings = _quantised(dtype, device) if four_bit else {}
    with _explained(model):
        base, loading = kind.from_pretrained(
            model.base,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            **_source(model),
            **settings,
            **wanted,
        )
    base.requires_grad_(False)
    _without_dropout(base)
    keep_softcap(base)
    _keep_differentiable(base)
    return (base.eval() if four_bit else base.to(device).eval()), loading


def _shape_of(kind: Any, model: Model, dtype: torch.dtype, **wanted: Any) -> Any:
    """The base without its weights: the caller fills them in."""
    with _explained(model):
        config = AutoConfig.from_pretrained(model.base, **_source(model), **wanted)
        with torch.device("meta"):
            base = kind.from_config(config, dtype=dtype, trust_remote_code=model.trust_remote_code)
    base.requires_grad_(False)
    _without_dropout(base)
    keep_softcap(base)
    return base.eval()


def keep_softcap(base: Any) -> None:
    """Let a model that bounds its attention's scores (Gemma 2) compute them in plain steps.

    torch's fused attention knows no such bound, and some releases of transformers (5.17) choose it
    all the same, without a word: the numbers are then another model's.
    """
    text = base.config.get_text_config()
    bounded = getattr(text, "attn_logit_softcapping", None) is not None
    if bounded and base.config._attn_implementation == "sdpa":
        base.set_attn_implementation("eager")
        log.info("attention in plain steps: the fused one would leave out the bound on its scores")


def _keep_differentiable(base: nn.Module) -> None:
    """Keep bitsandbytes from repacking 4-bit weights where a CPU multiplies bf16.

    It does so in the first pass without gradients, for good, and the product with packed weights
    has no backward: what is trained afterwards gets no gradient through the layers above it.
    """
    for module in base.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010  # mypy knows no such


def stored_dtype(model: Model) -> torch.dtype:
    """The number format that the base's own configuration names; float32 where it names none."""
    with _explained(model):
        named = AutoConfig.from_pretrained(model.base, **_source(model)).dtype
    return named if isinstance(named, torch.dtype) else torch.float32


def _quantised(dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise EngineError(
            "not_available",
            "A 4-bit base model needs bitsandbytes, which is not installed",
            "pip install -r requirements-gpu.txt, or set load_in_4bit to false.",
        )
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def fresh_adapter(base: Any, lora: Lora, seed: int, *, head: str | None = None) -> Any:
    """A new trainable LoRA on ``base``; it changes nothing until it is trained (B is 0).

    ``head``: the name of a module of ``base`` that is trained and saved whole beside it.
    """
    names = [name.strip() for name in lora.target_modules.split(",") if name.strip()]
    _refuse_outer(names, "lora.target_modules")
    config = LoraConfig(
        task_type="SEQ_CLS" if head else "CAUSAL_LM",
        modules_to_save=[head] if head else None,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear" if names == ["all-linear"] else names,
    )
    set_seed(seed)
    try:
        return get_peft_model(base, config)
    except ValueError as error:
        raise EngineError(
            "adapter_refused",
            f"No LoRA could be put on this model: {error}",
            'Set lora.target_modules to "all-linear" or to names of its linear layers.',
        ) from error


def continue_adapter(base: Any, folder: str | Path, *, head: str | None = None) -> Any:
    """``base`` with the adapter in ``folder``, ready to be trained further."""
    check_adapter(Path(folder), head=head)
    with _explained_adapter(folder):
        return PeftModel.from_pretrained(
            base, str(folder), adapter_name=TRAINED, is_trainable=True, torch_device="cpu"
        ).to(next(base.parameters()).device)


def add_adapter(model: Any, folder: str | Path, name: str, *, head: str | None = None) -> Any:
    """Load a frozen adapter as ``name``; ``model`` is a base or already has adapters."""
    check_adapter(Path(folder), head=head)
    with _explained_adapter(folder):
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), name, is_trainable=False, torch_device="cpu")
        else:
            model = PeftModel.from_pretrained(
                model, str(folder), adapter_name=name, torch_device="cpu"
            )
    return model.to(next(model.parameters()).device)


@contextlib.contextmanager
def speaking_as(model: Any, adapter: str | None) -> Iterator[Any]:
    """Within, ``model`` computes as ``adapter``, or as the bare base where that is None."""
    if not isinstance(model, PeftModel):
        if adapter is not None:
            raise ValueError(f"no adapter {adapter!r} on a bare base")
        yield model
    elif adapter is None:
        with model.disable_adapter():
            yield model
    else:
        trainable = {n for n, p in model.named_parameters() if p.requires_grad}
        before = model.active_adapter
        model.set_adapter(adapter)
        try:
            yield model
        finally:
            model.set_adapter(before)
            for name, parameter in model.named_parameters():  # set_adapter switches these
                parameter.requires_grad_(name in trainable)


def causal_lm(model: Any) -> Any:
    """The transformers model inside the wrappers of accelerate (DDP) and peft."""
    model = getattr(model, "module", model)
    return model.get_base_model() if isinstance(model, PeftModel) else model


def check_adapter(folder: Path, *, head: str | None = None) -> dict[str, Any]:
    """The adapter's configuration. Raises EngineError unless it is a safe LoRA that we can use.

    ``head``: the one module that it may replace whole.
    """

    def refuse(reason: str, advice: str) -> EngineError:
        return EngineError("adapter_refused", f"Adapter {folder}: {reason}", advice)

    if not (folder / CONFIG).is_file():
        raise refuse(f"{CONFIG} is missing", "Give the folder that PEFT's save_pretrained wrote.")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise refuse(
            f"{ADAPTER_WEIGHTS} is missing",
            "Weights are read from safetensors only: a .bin file can run code when it is opened. "
            "Save the adapter again with safetensors.",
        )
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise refuse(f"{CONFIG} is not JSON: {error}", "Save the adapter again.") from error
    if config.get("peft_type") != "LORA":
        raise refuse(f"its type is {config.get('peft_type')}, not LORA", "Use a LoRA adapter.")
    # peft names "classifier" beside the head, whether the model has such a module or not.
    if set(config.get("modules_to_save") or ()) - ({head, "classifier"} if head else set()):
        raise refuse("it replaces whole modules (modules_to_save)", "Use a plain LoRA adapter.")
    targets = config.get("target_modules") or []
    _refuse_outer([targets] if isinstance(targets, str) else targets, f"Adapter {folder}")
    return config


def adapter_sha256(folder: Path) -> str:
    """The SHA-256 of the adapter's weights file."""
    return sha256_of(folder / ADAPTER_WEIGHTS)


def adapter_identity(folder: str | None) -> str | None:
    """What stands for an adapter's function: its weights and its settings; None for none."""
    if folder is None:
        return None
    return f"{adapter_sha256(Path(folder))} {sha256_of(Path(folder) / CONFIG)}"


def save_adapter(model: Any, folder: Path) -> None:
    """Write the trained adapter into ``folder`` (made if absent) in PEFT's format."""
    # Without save_embedding_layers=False peft may ask the hub about the base's vocabulary.
    model.save_pretrained(
        folder, selected_adapters=[TRAINED], safe_serialization=True, save_embedding_layers=False
    )
    (folder / "README.md").unlink(missing_ok=True)  # an empty model card


def publish_adapter(model: Any, folder: Path, provenance: dict[str, Any]) -> str:
    """Write the trained adapter so that ``folder`` appears whole; returns its weights' SHA-256.

    ``provenance`` lies beside the weights as ``provenance.json``.
    """
    for name, value in get_peft_model_state_dict(model, adapter_name=TRAINED).items():
        if not torch.isfinite(value).all():
            raise EngineError(
                "not_finite",
                f"The adapter has values that are not finite ({name})",
                "Lower optimisation.learning_rate and start a new run.",
            )
    temporary = folder.with_name(f".{folder.name}.tmp")
    for leftover in (temporary, folder):  # of an attempt that died before its result.json
        shutil.rmtree(leftover, ignore_errors=True)
    save_adapter(model, temporary)
    write_json(temporary / "provenance.json", provenance)
    publish_folder(temporary, folder)
    return adapter_sha256(folder)


def load_trained(model: Any, folder: Path) -> None:
    """Put the adapter weights saved in ``folder`` into the trained adapter, bit for bit."""
    set_peft_model_state_dict(model, load_file(folder / ADAPTER_WEIGHTS), adapter_name=TRAINED)


def _source(model: Model) -> dict[str, Any]:
    """Keyword arguments that say where to load from; a local path never asks the network."""
    source: dict[str, Any] = {"trust_remote_code": model.trust_remote_code}
    if Path(model.base).is_dir():
        source["local_files_only"] = True
    elif model.revision is not None:
        source["revision"] = model.revision
    return source


@contextlib.contextmanager
def _explained(model: Model) -> Iterator[None]:
    if model.base.startswith(("/", ".", "~")) and not Path(model.base).is_dir():
        raise EngineError(
            "model_not_found",
            f"There is no folder {model.base}",
            "Check the project's base model: a folder on this machine, or a name on the hub.",
        )
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        if is_out_of_memory(error):
            raise
        raise EngineError(
            "model_not_found",
            f"The base model {model.base} cannot be loaded: {error}",
            "Check the name, the revision and the network; only safetensors weights are read, "
            "and code from the hub runs only where trust_remote_code is set.",
        ) from error


@contextlib.contextmanager
def _explained_adapter(folder: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise EngineError(
            "adapter_refused",
            f"Adapter {folder} does not fit this base model: {error}",
            "Use an adapter that was trained on the same base model.",
        ) from error


def _refuse_outer(names: list[str], where: str) -> None:
    for name in names:
        if name.rpartition(".")[2] in OUTER:
            raise EngineError(
                "adapter_refused",
                f"{where}: an adapter on {name} is not supported",
                "Adapt inner linear layers only; the head and the embeddings stay as they are.",
            )


def _without_dropout(base: nn.Module) -> None:
    """Switch the base's own dropout off: policy and reference must be the same function."""
    for module in base.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "attn_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
