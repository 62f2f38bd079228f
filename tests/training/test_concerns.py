import pytest

from training.concerns import concerns

SOUND = {
    "held_out/loss": [(0, 0.69), (5, 0.6), (10, 0.55)],
    "held_out/reward_accuracy": [(0, 0.5), (5, 0.6), (10, 0.7)],
    "held_out/logp_chosen": [(0, -30), (10, -29)],
    "held_out/logp_rejected": [(0, -30), (10, -45)],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"held_out/loss": [(0, 0.69), (5, 0.5), (10, 0.6)]}, "by heart"),
        ({"held_out/reward_accuracy": [(0, 0.5), (5, 0.45), (10, 0.4)]}, "contradict"),
        (
            {
                "held_out/logp_chosen": [(0, -30), (10, -40)],
                "held_out/logp_rejected": [(0, -30), (10, -60)],
            },
            "less likely too",
        ),
    ],
)
def test_each_danger_is_named(change, words):
    (said,) = concerns(SOUND | change)
    assert words in said


@pytest.mark.parametrize("curves", [{}, SOUND])
def test_sound_numbers_raise_no_concern(curves):
    assert concerns(curves) == []
