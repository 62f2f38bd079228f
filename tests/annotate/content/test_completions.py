"""Completions are stored once, clean and rendered."""

import pytest

from annotate.content.completions import BATCH, sampling_digest, storable, store_completions
from annotate.content.prompts import NewPrompt, store_prompts
from annotate.models import Completion, Policy, Project


@pytest.fixture
def policy(db):
    project = Project.objects.create(slug="demo", name="Demo")
    return Policy.objects.create(project=project, slug="base", kind=Policy.Kind.BASE)


@pytest.fixture
def prompt_id(policy):
    prompt = NewPrompt(messages=[{"role": "user", "content": "Hello"}])
    (pk,) = store_prompts(project=policy.project, prompts=[prompt]).ids.values()
    return pk


def draws(policy, prompt_id, count, text="Hi *there*"):
    return [
        Completion(
            prompt_id=prompt_id, policy=policy, text=text, seed=seed, sampling={"temperature": 1}
        )
        for seed in range(count)
    ]


@pytest.mark.parametrize(
    ("sampling", "other"),
    [
        ({"temperature": 1.0, "top_k": 5}, {"top_k": 5, "temperature": 1}),
        ({"stop": ("a", 2.0)}, {"stop": ["a", 2]}),
    ],
)
def test_same_sampling_same_digest(sampling, other):
    assert sampling_digest(sampling) == sampling_digest(other)


def test_other_sampling_other_digest():
    values = [{}, {"temperature": 1}, {"temperature": 0.9}, {"temperature": "1"}]
    assert len({sampling_digest(value) for value in values}) == 4


def test_nan_is_no_sampling_parameter():
    with pytest.raises(ValueError, match="JSON"):
        sampling_digest({"temperature": float("nan")})


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("plain", "plain"),
        ("naïve 👍", "naïve 👍"),
        ("a\0b", "a␀b"),
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\ud83d\udc4d", "👍"),
        (" lines\r\n\tkept ", " lines\r\n\tkept "),
    ],
)
def test_text_is_made_storable(text, stored):
    assert storable(text) == stored


def test_rows_are_stored_with_html_and_digest(policy, prompt_id):
    assert store_completions(rows=draws(policy, prompt_id, 1)) == 1
    row = Completion.objects.get()
    assert row.text == "Hi *there*"
    assert "<em>there</em>" in row.html
    assert row.sampling_digest == sampling_digest({"temperature": 1.0})


def test_storing_again_adds_nothing_and_changes_nothing(policy, prompt_id):
    store_completions(rows=draws(policy, prompt_id, 3))
    assert store_completions(rows=draws(policy, prompt_id, 4, text="another")) == 1
    assert Completion.objects.filter(text="another").count() == 1


def test_the_same_draw_twice_in_one_call_is_one(policy, prompt_id):
    rows = draws(policy, prompt_id, 2) + draws(policy, prompt_id, 2)
    assert store_completions(rows=rows) == 2


def test_more_than_a_batch(policy, prompt_id):
    assert store_completions(rows=draws(policy, prompt_id, BATCH + 5)) == BATCH + 5
    assert Completion.objects.count() == BATCH + 5


def test_what_a_model_emits_is_stored_visibly(policy, prompt_id):
    store_completions(rows=draws(policy, prompt_id, 1, text="a\0b\ud800"))
    assert Completion.objects.get().text == "a␀b\ufffd"


def test_an_empty_answer_is_an_answer(policy, prompt_id):
    assert store_completions(rows=draws(policy, prompt_id, 1, text="")) == 1
