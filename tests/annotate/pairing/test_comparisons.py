import pytest
from django.db.models import F

from annotate.models import Comparison, Policy
from annotate.pairing.comparisons import (
    PairingCandidate,
    make_comparisons,
    own_pairs_allowed,
    plan_pairs,
)
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
        ("1a 1b", {}, []),
        ("1a 1b 2c 2d", {}, [(0, 2), (1, 3)]),
        ("1a 1b 1c 2d", {}, [(0, 3)]),
        ("1a 2a", {}, []),
        ("1a* 1b* 2c 2d 2e", {2: 1}, [(2, 0), (3, 1)]),
        ("1a* 1a* 2c 2a", {2: 1}, [(2, 0)]),
        ("1a* 1b 2c", {2: 1}, [(2, 1)]),
        ("1a* 2c* 2d 2e", {2: 1}, [(2, 0)]),
        ("1a* 2c* 3d 3e", {3: 2}, [(2, 1)]),
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
    ],
    ids=str,
)
def test_an_import_meets_all_of_an_earlier_one(spec, expected):
    assert plan_pairs(candidates(spec), {}, imports=[1, 2]) == expected


def test_space_alone_is_no_difference():
    ones = [PairingCandidate(1, 1, "Paris.  Yes"), PairingCandidate(2, 1, "Paris. Yes\n")]
    assert plan_pairs(ones, {}, is_alone=True) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("1a 1b", [(0, 1)]),
        ("1a 1a", []),
        ("1a 1a 1b", [(0, 2)]),
        ("1a 1b 1c 1d", [(0, 1), (2, 3)]),
    ],
    ids=str,
)
def test_a_policy_that_is_alone_meets_itself(spec, expected):
    assert plan_pairs(candidates(spec), {}, is_alone=True) == expected


@pytest.mark.parametrize(
    ("others", "own", "allowed"),
    [(0, 0, 0), (8, 0, 0), (9, 0, 1), (9, 1, 0), (90, 4, 6), (9, 5, 0)],
)
def test_one_in_ten_comparisons_is_of_one_policys_answers(others, own, allowed):
    assert own_pairs_allowed(others=others, own=own) == allowed


def shares_of_own(project):
    made = Comparison.objects.filter(project=project)
    own = made.filter(a__policy=F("b__policy")).count()
    return own / made.count()


@pytest.mark.django_db
@pytest.mark.parametrize("policies", [2, 3])
@pytest.mark.parametrize(("asks", "least", "most"), [(False, 0, 0), (True, 0.05, 0.1)])
def test_among_policies_own_answers_meet_only_where_asked_and_seldom(policies, asks, least, most):
    project = make_project(compares_own_answers=asks)
    base = make_policy(project, "base")
    trained = [make_policy(project, f"round-{n}", parent=base) for n in range(1, policies)]
    for _ in range(12):  # some prompts at a time, as jobs bring them
        for _ in range(3):
            prompt = make_prompt(project)
            for policy in (base, base, base, *trained):
                make_completion(prompt, policy)
        make_comparisons(project=project)
    assert least <= shares_of_own(project) <= most


@pytest.mark.django_db
def test_what_a_lone_policy_met_before_counts_for_nothing():
    project = make_project(compares_own_answers=True)
    base = make_policy(project, "base")
    for _ in range(20):
        prompt = make_prompt(project)
        for _ in range(2):
            make_completion(prompt, base)
    assert make_comparisons(project=project) == 20
    child = make_policy(project, "round-1", parent=base)
    for prompt in project.prompts.all():
        for policy in (child, base, base, base):
            make_completion(prompt, policy)
    made = make_comparisons(project=project)
    own = Comparison.objects.filter(
        created_at__gte=child.created_at, a__policy=F("b__policy")
    ).count()
    assert 0 < own <= made / 10


@pytest.mark.django_db
def test_a_policy_that_writes_no_more_does_not_stop_another_from_meeting_itself():
    project = make_project()
    prompt, base = make_prompt(project), make_policy(project, "base", kind=Policy.Kind.BASE)
    make_policy(project, "elsewhere", kind=Policy.Kind.IMPORT)
    make_policy(project, "idle", kind=Policy.Kind.BASE, weight=0)
    for _ in range(2):
        make_completion(prompt, base)
    assert make_comparisons(project=project) == 1


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
