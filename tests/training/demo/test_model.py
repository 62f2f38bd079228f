"""The checkpoint that ships with the project."""

from collections import Counter

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.demo import MODEL_DIR, make_model, manners, world

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(MODEL_DIR)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(MODEL_DIR)


@pytest.fixture(scope="module")
def verdicts(model, tokenizer) -> Counter[str]:
    prompts = world.prompts(12)[:192]
    texts = make_model.sample(model, tokenizer, prompts, seed=1)
    pairs = zip(prompts, texts, strict=True)
    return Counter(manners.classify(prompt.messages, text) for prompt, text in pairs)


def test_it_is_small_enough_for_git():
    assert sum(file.stat().st_size for file in MODEL_DIR.rglob("*")) <= 8 * MEGABYTE


def test_it_holds_no_pickle():
    assert {file.suffix for file in MODEL_DIR.iterdir()} <= {
        ".json",
        ".safetensors",
        ".jinja",
        ".md",
    }


def test_it_loads_in_the_precision_that_a_processor_likes(model):
    assert model.dtype == torch.float32


def test_its_tokenizer_is_the_one_the_script_makes(tokenizer):
    made = make_model.make_tokenizer(0)
    assert tokenizer.get_vocab() == made.get_vocab()
    assert tokenizer.chat_template == made.chat_template
    assert tokenizer.padding_side == "left"


def test_it_knows_where_to_stop(model, tokenizer):
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id


@pytest.mark.parametrize("manner", world.MANNERS)
def test_every_manner_is_sampled_about_as_often_as_it_was_taught(
    verdicts: Counter[str], manner: world.Manner
):
    assert verdicts[manner] / verdicts.total() == pytest.approx(world.MANNERS[manner], abs=0.1)


def test_hardly_anything_is_garbled(verdicts: Counter[str]):
    assert verdicts["other"] / verdicts.total() < 0.12
