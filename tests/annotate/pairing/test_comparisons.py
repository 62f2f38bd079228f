import pytest

from annotate.models import Comparison, Policy
from annotate.pairing.comparisons import PairingCandidate, make_comparisons, plan_pairs
from tests.factories import make_completion, make_policy, make_project, make_prompt


def candidates(spec: str) -> list[PairingCandidate]:
    """ "1a 1b 2c*" → pk 0, 1, 2 of policies 1, 1, 2 with texts a, b, c; * marks a used one."""
    return [
        PairingCandidate(pk, int(word[0]), word[1:].rstrip("*"), used=word.endswith("*"))
        for pk, word in enumerate(spec.split())
    ]


@pytest.mark.parametrize(
    ("spec", "parents", "expected"),
    [
        ("", {}, []),
        ("1a", {}, []),
        ("1a 1b", {}, [(0, 1)]),
        ("1a 1a", {}, []),
        ("1a 1a 1b", {}, [(0, 2)]),
        ("1a 1b 2c 2d", {}, [(0, 2), (1, 3)]),
        ("1a 2a", {}, []),
        ("1a* 1b* 2c 2d 2e", {2: 1}, [(2, 0), (3, 4)]),
        ("1a* 1b 2c", {2: 1}, [(2, 1)]),
        ("1a* 2c* 2d 2e", {2: 1}, [(2, 3)]),
    ],
    ids=str,
)
def test_plan_pairs(spec, parents, expected):
    assert plan_pairs(candidates(spec), parents) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("1a* 1b* 2c 2d", [(2, 0), (3, 1)]),
        ("1a* 1b* 1c 2d 2e 2f", [(3, 0), (4, 1), (2, 5)]),
        ("1a* 1b* 2a 2b 2c", [(2, 1), (3, 0)]),
        ("1a* 1b* 2c* 2d", []),
        ("1a 1b", [(0, 1)]),
    ],
    ids=str,
)
def test_an_import_meets_all_of_an_earlier_one(spec, expected):
    assert plan_pairs(candidates(spec), {}, imports=[1, 2]) == expected


def test_space_alone_is_no_difference():
    ones = [PairingCandidate(1, 1, "Paris.  Yes"), PairingCandidate(2, 1, "Paris. Yes\n")]
    assert plan_pairs(ones, {}) == []


@pytest.mark.django_db
def test_imported_policies_meet_each_other():
    project = make_project()
    prompt = make_prompt(project)
    first, second = make_policy(project, "one"), make_policy(project, "two")
    for policy in (first, first, second, second):
        make_completion(prompt, policy)
    assert make_comparisons(project=project) == 2
    for comparison in Comparison.objects.all():
        assert {comparison.a.policy, comparison.b.policy} == {first, second}


@pytest.mark.django_db
def test_pairing_again_makes_nothing_new():
    project = make_project()
    policy = make_policy(project)
    prompt = make_prompt(project)
    make_completion(prompt, policy)
    make_completion(prompt, policy)
    assert make_comparisons(project=project) == 1
    assert make_comparisons(project=project) == 0


@pytest.mark.django_db
def test_a_new_policy_meets_its_parent_and_goes_first():
    project = make_project()
    prompt = make_prompt(project)
    base = make_policy(project, "base")
    make_completion(prompt, base)
    make_completion(prompt, base)
    make_comparisons(project=project)
    child = make_policy(project, "round-1", parent=base)
    make_completion(prompt, child)
    assert make_comparisons(project=project) == 1
    newest = Comparison.objects.order_by("-priority").first()
    assert newest is not None
    assert {newest.a.policy, newest.b.policy} == {base, child}
    assert newest.priority == 1


@pytest.mark.django_db
def test_retired_policies_meet_nobody():
    project = make_project()
    prompt = make_prompt(project)
    policy = make_policy(project, state=Policy.State.RETIRED)
    make_completion(prompt, policy)
    make_completion(prompt, policy)
    assert make_comparisons(project=project) == 0
