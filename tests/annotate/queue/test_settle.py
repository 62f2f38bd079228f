import pytest

from annotate.queue.settle import Settlement, settle


@pytest.mark.parametrize(
    ("votes", "wanted", "expected"),
    [
        ([], 1, None),
        (["a"], 2, None),
        (["a"], 1, Settlement("pair", "a", weight=1.0, agreement=1.0)),
        (["b"], 1, Settlement("pair", "b", weight=1.0, agreement=1.0)),
        (["tie"], 1, Settlement("tie")),
        (["both_bad"], 1, Settlement("both_bad")),
        (["a", "b"], 2, Settlement("no_majority")),
        (["a", "tie"], 2, Settlement("no_majority")),
        (["a", "a", "b"], 3, Settlement("pair", "a", weight=1 / 3, agreement=2 / 3)),
        (["a", "a", "tie"], 3, Settlement("pair", "a", weight=2 / 3, agreement=2 / 3)),
        (["a", "tie", "tie"], 3, Settlement("tie")),
        (["a", "b", "tie"], 3, Settlement("no_majority")),
        (["both_bad", "both_bad", "a"], 3, Settlement("both_bad")),
        (["b", "b", "b", "a"], 4, Settlement("pair", "b", weight=0.5, agreement=0.75)),
        (["a", "a", "b", "tie"], 4, Settlement("no_majority")),
    ],
)
def test_settle(votes, wanted, expected):
    assert settle(votes, wanted) == expected
