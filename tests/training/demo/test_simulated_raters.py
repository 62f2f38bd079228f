from random import Random

from training.demo.simulated_raters import Card, SimulatedRater, Tickets


def rater(error_rate: float, preferred: str = "a") -> SimulatedRater:
    return SimulatedRater(
        visitor=None,  # type: ignore[arg-type]
        rate_path="",
        prefer=lambda _messages, _left, _right: preferred,  # type: ignore[arg-type,return-value]
        error_rate=error_rate,
        random=Random(5),
    )


CARD = Card(action="", messages=[], left="x", right="y")


def test_a_rater_without_error_always_chooses_what_is_preferred():
    assert {rater(0.0, "b").choose(CARD) for _ in range(50)} == {"right"}
    assert {rater(0.0, "tie").choose(CARD) for _ in range(50)} == {"tie"}


def test_the_stated_error_rate_is_the_rate_of_errors():
    simulated = rater(0.2)
    wrong = sum(simulated.choose(CARD) != "left" for _ in range(5000))
    assert 900 < wrong < 1100


def test_no_more_tickets_are_taken_than_there_are():
    tickets = Tickets(3)
    assert [tickets.take() for _ in range(5)] == [True, True, True, False, False]
    tickets.give_back()
    assert tickets.take()
