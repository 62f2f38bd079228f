"""The generator: distinct questions, right answers, manners in the intended proportions."""

import random
import re
from collections import Counter

import pytest

from training.demo import facts, phrases, world


def _question_and_answer(key: str) -> tuple[world.DemoPrompt, random.Random]:
    prompt = next(p for p in world.prompts(0) if p.fact.key == key)
    return prompt, random.Random(0)


def test_fact_keys_are_unique():
    keys = [fact.key for fact in facts.facts()]
    assert len(keys) == len(set(keys))


def test_there_are_many_distinct_prompts():
    conversations = {str(p.messages) for p in world.prompts(0)}
    assert len(conversations) == len(world.prompts(0)) > 700


def test_a_question_belongs_to_one_fact():
    asked = Counter(
        facts.fill(question, fact.slots)
        for fact in facts.facts()
        for question in facts.TOPICS[fact.topic].questions
    )
    assert [question for question, n in asked.items() if n > 1] == []


def test_the_same_seed_gives_the_same_prompts():
    assert world.prompts(3) == world.prompts(3)
    assert world.prompts(3) != world.prompts(4)


def test_some_prompts_have_a_system_message_and_some_a_history():
    shapes = Counter(tuple(m["role"] for m in p.messages) for p in world.prompts(0))
    assert set(shapes) == {
        ("user",),
        ("system", "user"),
        ("user", "assistant", "user"),
        ("system", "user", "assistant", "user"),
    }


def test_a_prompt_knows_its_right_answer():
    prompt, _ = _question_and_answer("capitals/France")
    assert prompt.answer == "Paris"


@pytest.mark.parametrize("key", ["sums/6 plus 5", "capitals/France", "how-to/make tea"])
def test_a_direct_answer_states_the_fact(key: str):
    prompt, rng = _question_and_answer(key)
    wanted = prompt.fact.slots.get("a") or prompt.fact.slots["s2"]
    assert wanted in world.answer(prompt, "direct", rng)


def test_a_wrong_answer_does_not_state_the_fact():
    prompt, rng = _question_and_answer("capitals/France")
    assert not any("Paris" in world.answer(prompt, "wrong", rng) for _ in range(50))


def test_only_over_long_answers_are_long():
    rng = random.Random(0)
    for prompt in world.prompts(0):
        for manner in world.MANNERS:
            word_count = len(world.answer(prompt, manner, rng).split())
            assert word_count <= (85 if manner == "over-long" else 38)


def test_the_proportions_add_up_and_are_drawn():
    assert sum(world.MANNERS.values()) == pytest.approx(1)
    rng = random.Random(0)
    drawn = Counter(world.draw_manner(rng) for _ in range(4000))
    for manner, share in world.MANNERS.items():
        assert drawn[manner] / 4000 == pytest.approx(share, abs=0.03)


def test_no_slot_value_of_an_answer_ends_a_sentence():
    values = [v for f in facts.facts() for name, v in f.slots.items() if name != "x"]
    values += [word for words in phrases.WORDS.values() for word in words]
    assert not [value for value in values if re.search(r"[.!?]", value)]


def test_fill_capitalises_on_request():
    assert facts.fill("{A} or {a}.", {"a": "red fox"}) == "Red fox or red fox."
