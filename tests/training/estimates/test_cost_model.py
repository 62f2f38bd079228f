"""The estimated cost of a round, by table; and what is named if it cannot fit."""

from dataclasses import replace

import pytest

from training.demo import MODEL_DIR
from training.engine.config import DpoJob, Lora, Model, Optimisation, SampleJob, SftJob
from training.estimates.cost_model import (
    GIB,
    Change,
    Lengths,
    Settings,
    memory_of,
    pace_from_speed,
    seconds_of,
    tree_tokens,
    what_would_fit,
    work_of,
)
from training.estimates.model_shape import ModelShape, shape_of
from training.jobs.hardware import Hardware

JOB = DpoJob(model=Model(base="any"))
SEVEN = ModelShape(  # roughly a model of seven billion parameters
    parameters=7_000_000_000,
    linear=6_700_000_000,
    widths=32 * 7 * 10_000,
    layers=32,
    hidden=4096,
    inner=11_008,
    vocabulary=32_000,
)
LENGTHS = Lengths([(400, 200, 300)] * 100 + [(3000, 900, 800)], [(400, 200, 300)] * 10, "tokenizer")


def gpu(gib):
    return Hardware("box", "cuda", 1, gib * GIB, 16, "bfloat16", 4e14, ("a GPU",))


def settings(**changes):
    optimisation = {k: changes.pop(k) for k in list(changes) if hasattr(JOB.optimisation, k)}
    job = replace(JOB, optimisation=replace(JOB.optimisation, **optimisation), **changes)
    return Settings.of(job)


def test_the_built_in_models_shape_is_read_from_its_files():
    shape = shape_of(str(MODEL_DIR), None)
    assert (shape.layers, shape.hidden, shape.inner, shape.vocabulary) == (4, 192, 512, 1946)
    assert shape.linear == 4 * (4 * 192 * 192 + 3 * 192 * 512)
    assert shape.widths == 4 * (4 * 384 + 3 * 704)
    norms = (2 * 4 + 1) * 192
    assert shape.parameters == shape.linear + 1946 * 192 + norms


@pytest.mark.parametrize("base", ["no/such-model", "not a name at all", "/nowhere"])
def test_a_model_that_is_not_here_has_no_known_shape(base):
    assert shape_of(base, None) is None


def test_without_weights_the_shape_follows_from_the_configuration(tmp_path):
    (tmp_path / "config.json").write_bytes((MODEL_DIR / "config.json").read_bytes())
    known, guessed = shape_of(str(MODEL_DIR), None), shape_of(str(tmp_path), None)
    assert (guessed.linear, guessed.widths) == (known.linear, known.widths)
    assert guessed.parameters == pytest.approx(known.parameters, rel=0.01)


@pytest.mark.parametrize(
    ("lengths", "most", "kind", "expected"),
    [
        ((100, 20, 30), 2048, DpoJob, 150),
        ((100, 20, 30), 2048, SftJob, 120),
        ((100, 20, 30), 80, DpoJob, 100),  # the prompt loses its beginning
        ((100, 90, 30), 64, DpoJob, 94),  # an answer is cut, and no prompt is left
    ],
)
def test_tokens_of_a_pair(lengths, most, kind, expected):
    job = kind(model=Model(base="any"), optimisation=Optimisation(max_length=most))
    assert tree_tokens(lengths, Settings.of(job)) == expected


def test_what_a_round_computes():
    work = work_of(LENGTHS, settings(epochs=2.0, batch_size=8, eval_fraction=0.25))
    train, held_out = 100 * 900 + 2048 + 800, 10 * 900
    assert work.trained == 2 * train
    assert work.scored == train + held_out
    assert work.evaluated == 5 * held_out
    assert work.steps == 26


@pytest.mark.parametrize(
    ("gib", "changes", "checkpointing"),
    [(80, {}, False), (40, {}, True), (40, {"max_length": 512}, False)],
)
def test_activations_are_recomputed_where_memory_asks_for_it(gib, changes, checkpointing):
    memory = memory_of(SEVEN, LENGTHS, settings(**changes), gpu(gib))
    assert memory.fits
    assert memory.checkpointing == checkpointing
    assert memory.base == pytest.approx(14e9)
    assert memory.adapter == 16 * SEVEN.widths * 16


@pytest.mark.parametrize(
    ("gib", "changes", "expected"),
    [
        (15, {"max_length": 4096}, [Change("max_length", 512)]),
        (20, {"lora": Lora(r=256)}, [Change("lora_r", 128)]),
        (10, {}, [Change("load_in_4bit", True)]),
        (4, {}, []),
    ],
)
def test_the_nearest_setting_that_fits_is_named(gib, changes, expected):
    asked = settings(**changes)
    assert not memory_of(SEVEN, LENGTHS, asked, gpu(gib)).fits
    assert what_would_fit(SEVEN, LENGTHS, asked, gpu(gib)) == expected


@pytest.mark.parametrize("gib", range(5, 24))
def test_what_is_named_does_fit(gib):
    asked = settings(max_length=8192, lora=Lora(r=128))
    changes = what_would_fit(SEVEN, LENGTHS, asked, gpu(gib))
    for change in changes:
        if change.field == "load_in_4bit":
            asked = replace(asked, load_in_4bit=True)
        elif change.field == "lora_r":
            asked = replace(asked, lora=replace(asked.lora, r=change.value))
        else:
            shorter = replace(asked.optimisation, max_length=change.value)
            asked = replace(asked, optimisation=shorter)
    assert not changes or memory_of(SEVEN, LENGTHS, asked, gpu(gib)).fits
    assert changes or gib < 8


def test_time_follows_from_work_and_pace():
    work = work_of(LENGTHS, settings(epochs=1.0))
    pace = pace_from_speed(SEVEN, gpu(80), checkpointing=False)
    assert 2_000 < pace < 10_000
    assert pace_from_speed(SEVEN, gpu(80), checkpointing=True) == pytest.approx(pace * 2 / 3)
    assert seconds_of(work, pace, 2) < seconds_of(work, pace) < seconds_of(work, pace / 2)


def test_a_job_that_trains_nothing_has_no_estimate():
    assert Settings.of(SampleJob(model=Model(base="any"), adapters={})) is None


def test_long_prompts_take_more_of_attention_as_they_are_gathered_for_both_answers():
    def held(prompt, answer):
        pairs = Lengths([(prompt, answer, answer)] * 8, [], "tokenizer")
        memory = memory_of(SEVEN, pairs, settings(max_length=4096), gpu(400))
        assert not memory.checkpointing
        return memory.activations / memory.tokens

    # Two keys and two values of 4,096 a token and layer, in two bytes, for 2 gathered or nearly 3.
    assert held(2000, 10) - held(200, 100) == pytest.approx(32 * 2 * 4096 * 2 * 0.98, rel=0.01)
