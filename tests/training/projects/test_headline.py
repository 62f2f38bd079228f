import pytest

from training.projects.headline import ProjectFacts, headline, next_step
from training.stats.win_rates import WinRate

WON, LOST = WinRate(70, 30), WinRate(30, 70)
TRAINED = {"prompts": 9, "completions": 9, "last": 2, "opponent": "the base model"}


def text_of(**facts):
    line = headline(ProjectFacts(**facts))
    number = "…" if line.share else ""
    return " ".join(part for part in (line.before, number, line.after, line.then) if part)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({}, "Nothing here yet. Import prompts"),
        ({"prompts": 1200}, "1,200 prompts wait for answers. Have the base model"),
        ({"prompts": 9, "is_sampling": True}, "The first completions are being written"),
        (
            {"prompts": 9, "completions": 9},
            "No round has been trained yet. There are no pairs to train on yet.",
        ),
        ({"prompts": 9, "completions": 9, "new_pairs": 1}, "yet. 1 new pair."),
        (TRAINED | {"held_out": WON}, "Round 2 beats the base model … on held-out prompts."),
        (TRAINED | {"held_out": LOST}, "Round 2 loses to the base model: it wins …"),
        (TRAINED | {"held_out": WinRate(11, 9)}, "against the base model is still open: it wins …"),
        (TRAINED | {"held_out": WinRate(3, 2), "everywhere": WON}, "… on all prompts."),
        (TRAINED, "Its answers have not been judged against the base model yet."),
        (TRAINED | {"last_failed": 3}, "Round 3 failed. Its page says why."),
        ({"training": 1, "training_is_queued": True}, "Round 1 waits for a worker."),
        (
            {"training": 1, "phase": "scoring the reference", "total_steps": 4},
            "Round 1 is in training: scoring the reference.",
        ),
        (
            {
                "training": 1,
                "phase": "training",
                "step": 41,
                "total_steps": 90,
                "seconds_left": 130,
            },
            "step 41 of 90, about 2 minutes left.",
        ),
    ],
)
def test_how_the_loop_stands(facts, sentence):
    assert sentence in text_of(**facts)


@pytest.mark.parametrize(
    ("facts", "ending"),
    [
        ({"new_pairs": 188}, "188 new pairs since."),
        ({"new_pairs": 188, "due_at_pairs": 400}, "the next round is due at 400."),
        (
            {"new_pairs": 188, "due_at_pairs": 400, "pairs_last_day": 106},
            "the next round is due at 400, in about 2 days at this pace.",
        ),
        ({"new_pairs": 400, "due_at_pairs": 400}, "400 new pairs since; the next round is due."),
        ({}, "No new pairs since."),
    ],
)
def test_when_the_next_round_is_due(facts, ending):
    assert text_of(**TRAINED, held_out=WON, **facts).endswith(ending)


def test_while_a_round_trains_the_last_result_stays_in_sight():
    line = headline(ProjectFacts(training=3, held_out=WON, **TRAINED))
    assert line.then.startswith("Round 2 beats the base model 70")


READY = {"prompts": 9, "completions": 9, "can_train": True}


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        ({}, "import"),
        ({"prompts": 9, "can_sample": True}, "sample"),
        ({"prompts": 9}, "import"),
        ({"prompts": 9, "is_sampling": True}, "wait"),
        (READY | {"training": 1}, "watch"),
        (READY | {"new_pairs": 100, "open_slots": 5}, "round"),
        (READY | {"new_pairs": 100, "open_slots": 5, "due_at_pairs": 400}, "rate"),
        (READY | {"new_pairs": 3, "open_slots": 5}, "rate"),
        (READY | {"new_pairs": 3}, "round"),
        (READY | {"new_pairs": 0, "open_slots": 5}, "rate"),
        (READY | {"is_sampling": True}, "wait"),
        (READY | {"can_sample": True}, "sample"),
    ],
)
def test_the_one_button_that_fits(facts, step):
    assert next_step(ProjectFacts(**facts)) == step
