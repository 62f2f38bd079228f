from random import Random

from annotate.queue.sides import draw_swapped


def draws(n: int, seed: int) -> list[bool]:
    random, swapped = Random(seed), 0
    sides = []
    for i in range(n):
        side = draw_swapped(swapped=swapped, straight=i - swapped, random=random)
        swapped += side
        sides.append(side)
    return sides


def test_counts_stay_together():
    for seed in range(50):
        sides = draws(200, seed)
        assert abs(sum(sides) - 100) <= 8


def test_next_side_is_never_certain():
    random = Random(1)
    ahead = [draw_swapped(swapped=90, straight=10, random=random) for _ in range(300)]
    assert 0 < sum(ahead) < 150


def test_first_side_is_fair():
    first = [draws(1, seed)[0] for seed in range(2000)]
    assert 900 < sum(first) < 1100
