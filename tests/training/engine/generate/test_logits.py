"""Logit shaping against transformers' own processors, and the noise used for sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import (
    LogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from training.engine.config import Sampling
from training.engine.generate.logits import LIKELIEST, Shaper
from training.engine.generate.seeded_noise import Race, RowNoise, argmax, draw

ROWS, VOCABULARY = 12, 1000
CPU = torch.device("cpu")


def scores(spread: float = 3.0) -> torch.Tensor:
    return torch.randn(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(0)) * spread


def ids() -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (ROWS, 40), generator=torch.Generator().manual_seed(1))


def ours(sampling: Sampling, logits: torch.Tensor) -> torch.Tensor:
    shaper = Shaper(sampling)
    seen = shaper.fresh(ROWS, VOCABULARY, CPU)
    for row, tokens in zip(seen, ids().tolist(), strict=True):
        shaper.note(row, tokens)
    return shaper.shape(logits, seen)


CASES: list[tuple[Sampling, list[LogitsProcessor]]] = [
    (Sampling(temperature=0.7), [TemperatureLogitsWarper(0.7)]),
    (Sampling(top_k=50), [TopKLogitsWarper(50)]),
    (Sampling(top_k=VOCABULARY + 1), []),
    (Sampling(top_p=0.9), [TopPLogitsWarper(0.9)]),
    (Sampling(top_p=0.01), [TopPLogitsWarper(0.01)]),
    (Sampling(min_p=0.05), [MinPLogitsWarper(0.05)]),
    (Sampling(min_p=1.0), [MinPLogitsWarper(1.0)]),
    (Sampling(repetition_penalty=1.4), [RepetitionPenaltyLogitsProcessor(1.4)]),
    (Sampling(repetition_penalty=0.8), [RepetitionPenaltyLogitsProcessor(0.8)]),
    (
        Sampling(temperature=1.3, top_k=300, top_p=0.8, min_p=0.02, repetition_penalty=1.1),
        [
            RepetitionPenaltyLogitsProcessor(1.1),
            TemperatureLogitsWarper(1.3),
            TopKLogitsWarper(300),
            TopPLogitsWarper(0.8),
            MinPLogitsWarper(0.02),
        ],
    ),
]


@pytest.mark.parametrize("spread", [0.05, 3.0])  # nearly flat, and like a real model's
@pytest.mark.parametrize(("sampling", "theirs"), CASES)
def test_shaping_is_what_transformers_processors_do(
    sampling: Sampling, theirs: list[LogitsProcessor], spread: float
) -> None:
    expected = scores(spread)
    for processor in theirs:
        expected = processor(ids(), expected)
    torch.testing.assert_close(ours(sampling, scores(spread)), expected)


def test_a_flat_distribution_needs_more_than_the_likeliest_few() -> None:
    """So the case above really reaches the code that sorts a whole row."""
    remaining = ours(Sampling(top_p=0.9), scores(0.05)).isfinite().sum(-1)
    assert int(remaining.min()) > LIKELIEST


def test_greedy_keeps_the_penalty_and_nothing_else() -> None:
    sampling = Sampling(temperature=0.0, top_k=3, top_p=0.5, repetition_penalty=1.2)
    expected = RepetitionPenaltyLogitsProcessor(1.2)(ids(), scores())
    torch.testing.assert_close(ours(sampling, scores()), expected)


def test_the_noise_is_exponential_and_independent() -> None:
    """A million numbers: mean 1, variance 1, quantiles of -log(1 - q); no two rows alike."""
    race = Race(1000, CPU)
    times = race.times(list(range(500)) * 2, [0] * 500 + [1] * 500).double()
    assert float(times.mean()) == pytest.approx(1, abs=4e-3)
    assert float(times.var()) == pytest.approx(1, abs=2e-2)
    for q in (0.001, 0.1, 0.5, 0.9, 0.999):
        share = float((times < -math.log1p(-q)).double().mean())
        assert share == pytest.approx(q, abs=4 * (q * (1 - q) / 1e6) ** 0.5)
    assert float(times.min()) > 0
    between_rows = np.corrcoef(times.numpy())[np.triu_indices(1000, 1)]
    assert abs(between_rows).max() < 6 / 1000**0.5
    between_tokens = np.corrcoef(times.numpy().T)[np.triu_indices(1000, 1)]
    assert abs(between_tokens).max() < 6 / 1000**0.5


def test_noise_belongs_to_seed_and_step_wherever_the_row_stands() -> None:
    race = Race(200, CPU)
    seeds, steps = list(range(70)), [i % 5 for i in range(70)]
    together = race.times(seeds, steps)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0)).tolist()
    moved = race.times([seeds[i] for i in order], [steps[i] for i in order])
    assert torch.equal(together[order], moved)
    big = race.times([2**63 - 1, -1, 2**64 + 7, 7], [0, 0, 0, 0])
    assert torch.equal(big[2], big[3])
    assert not torch.equal(big[0], big[1])


def test_the_same_seed_draws_the_same_in_every_version() -> None:
    """Completions in databases were drawn with these numbers: they may not change."""
    times = Race(4, CPU).times([1, 2**62 + 3], [0, 9])
    expected = torch.tensor(
        [[2.187851, 0.8274523, 2.098408, 2.408473], [0.9792652, 1.121369, 1.422587, 0.1035739]]
    )
    torch.testing.assert_close(times, expected, rtol=1e-6, atol=0)


def test_a_token_without_a_chance_is_never_drawn() -> None:
    logits = torch.full((2000, 5), float("-inf"))
    logits[:, 3] = 0.0
    taken, logp = draw(logits, Race(5, CPU), list(range(2000)), [0] * 2000)
    assert set(taken.tolist()) == {3}
    assert logp.tolist() == [0.0] * 2000


def test_argmax_takes_the_first_of_equals() -> None:
    assert argmax(torch.tensor([[1.0, 3.0, 3.0], [2.0, 1.0, 2.0]])).tolist() == [1, 0]


def test_padding_is_no_word_that_was_said() -> None:
    """Two rows of one prompt, one of them padded: the penalty falls on the same tokens."""
    prompts = [[5, 6, 7], [6, 7]]
    sampling = Sampling(temperature=0.0, repetition_penalty=2.0)
    noise = RowNoise(sampling, [0, 0], CPU, prompts)
    padded = torch.tensor([[5, 6, 7], [0, 6, 7]])
    logits = torch.tensor([[9.0, 0, 0, 0, 0, 1, 1, 1]] * 2)
    assert noise(padded, logits).argmax(-1).tolist() == [0, 0]
    expected = torch.log_softmax(torch.tensor([9.0, 0, 0, 0, 0, 1, 0.5, 0.5]), -1)[0]
    assert float(noise.chosen[0][1]) == pytest.approx(float(expected), abs=1e-6)
