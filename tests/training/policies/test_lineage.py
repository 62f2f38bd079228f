"""From a policy to the rounds, snapshots and judgements behind it, and back."""

from __future__ import annotations

import pytest
from django.urls import reverse

from annotate.models import Comparison, Judgement, Policy, PreferencePair, Prompt
from tests.factories import make_policy, make_prompt
from tests.training.voting import judge, meet
from training.models import ChampionTerm, Gate, LoopSettings, Round, Snapshot
from training.policies import gates
from training.policies.lineage import ancestors_of, judgements_behind, lineage_of, pairs_behind


@pytest.fixture
def family(cast):
    """base, round-1 made from three pairs, round-2 queued from round-1."""
    project = cast.project
    base = make_policy(project, "base", state=Policy.State.CHAMPION)
    first = make_policy(project, "round-1", parent=base, state=Policy.State.CANDIDATE)
    snapshot = Snapshot.objects.create(
        project=project, counts={"train": 3, "held_out": 0}, sha256="cd" * 32, path="absent"
    )
    for rater in (cast.rater, cast.rater, cast.colleague):
        judge(meet(project, base, base), rater, "a")
    snapshot.pairs.set(PreferencePair.objects.all())
    judge(meet(project, base, base), cast.rater, "b")  # later than the snapshot
    Round.objects.create(
        project=project,
        number=1,
        snapshot=snapshot,
        start=base,
        reference=base,
        policy=first,
        state=Round.State.SUCCEEDED,
    )
    Round.objects.create(project=project, number=2, snapshot=snapshot, start=first, reference=base)
    for _ in range(14):
        meet(project, first, base, prompt=make_prompt(project, held_out=True))
    # These answers have already been compared here; a gate needs ones that have not.
    return base, first


def test_back_to_the_judgements(cast, family):
    base, first = family
    lineage = lineage_of(first)
    assert lineage.made_by.number == 1
    assert lineage.ancestors == [base]
    assert [round_.number for round_ in lineage.rounds_from] == [2]
    assert (lineage.pairs, lineage.judgements, lineage.raters) == (3, 3, 2)
    assert set(pairs_behind(first)) == set(lineage.made_by.snapshot.pairs.all())
    Judgement.objects.filter(rater=cast.colleague).update(retracted_at="2026-01-01T00:00Z")
    assert judgements_behind(first).count() == 2


def test_and_forth(family):
    base, first = family
    lineage = lineage_of(base)
    assert lineage.made_by is None
    assert lineage.children == [first]
    assert [round_.number for round_ in lineage.rounds_from] == [1]
    assert [round_.number for round_ in lineage.rounds_against] == [1, 2]
    assert (lineage.ancestors, lineage.pairs, lineage.judgements) == ([], 0, 0)


def test_a_long_line(cast):
    parent = None
    for number in range(5):
        parent = make_policy(cast.project, f"policy-{number}", parent=parent)
    slugs = [ancestor.slug for ancestor in ancestors_of(parent)]
    assert slugs == ["policy-3", "policy-2", "policy-1", "policy-0"]


# --- the pages ---


def address(name, *args):
    return reverse(name, args=["sharpen", *args])


@pytest.mark.parametrize(("name", "args"), [("policies", ()), ("policy", ("round-1",))])
def test_the_pages_are_for_managers(cast, family, client_of, name, args):
    assert client_of(cast.manager).get(address(name, *args)).status_code == 200
    assert client_of(cast.rater).get(address(name, *args)).status_code == 403
    assert client_of(cast.stranger).get(address(name, *args)).status_code == 404


def test_an_unknown_policy_is_not_there(cast, client_of):
    assert client_of(cast.manager).get(address("policy", "nobody")).status_code == 404


def test_a_policys_page_links_to_everything_behind_it(cast, family, client_of):
    _, first = family
    page = client_of(cast.manager).get(address("policy", "round-1")).content.decode()
    for link in (
        address("policy", "base"),
        address("round", 1),
        address("round", 2),
        address("snapshot", "cd" * 32),
    ):
        assert f'href="{link}"' in page
    for pair in pairs_behind(first):
        assert f'href="{address("comparison", pair.comparison_id)}"' in page


def test_and_a_comparisons_page_back_to_it(cast, family, client_of):
    _, first = family
    pair = pairs_behind(first).first()
    page = client_of(cast.manager).get(address("comparison", pair.comparison_id)).content.decode()
    assert f'href="{address("round", 1)}"' in page
    assert f'href="{address("policy", "round-1")}"' in page
    other = PreferencePair.objects.exclude(pk__in=pairs_behind(first)).first()
    page = client_of(cast.manager).get(address("comparison", other.comparison_id)).content.decode()
    assert address("round", 1) not in page


def test_many_pairs_come_in_pages(cast, family, client_of, monkeypatch):
    monkeypatch.setattr("training.views.policies.policies.PAIRS_SHOWN", 2)
    client = client_of(cast.manager)
    keys = list(pairs_behind(family[1]).order_by("-pk").values_list("pk", flat=True))
    page = client.get(address("policy", "round-1")).content.decode()
    assert f'href="?before={keys[1]}"' in page
    rest = client.get(address("policy", "round-1"), {"before": keys[1]}).content.decode()
    assert 'class="foot"' not in rest
    assert client.get(address("policy", "round-1"), {"before": "x"}).status_code == 200


@pytest.fixture
def gate(cast, family):
    base, first = family
    return Gate.objects.create(project=cast.project, candidate=first, champion=base)


def test_a_gate_is_decided_by_a_button(cast, family, gate, client_of):
    client = client_of(cast.manager)
    page = client.get(address("policy", "round-1")).content.decode()
    assert "Undecided" in page
    assert address("promote", "round-1") in page
    answer = client.post(address("promote", "round-1"), {"stay": "yes", "sure": "yes"})
    assert answer["Location"] == address("policy", "round-1")
    gate.refresh_from_db()
    assert (gate.state, gate.decided_by) == (Gate.State.PROMOTED, cast.manager)
    page = client.get(address("policy", "round-1")).content.decode()
    assert "Promoted" in page
    assert f"Back to {family[0].slug}" in page


def test_rolling_back_is_one_click(cast, family, gate, client_of):
    client = client_of(cast.manager)
    client.post(address("promote", "round-1"), {"sure": "yes"})
    answer = client.post(address("roll_back"), follow=True)
    assert "base is the champion again." in answer.content.decode()
    assert ChampionTerm.objects.get(ended_at=None).policy == family[0]
    assert "rolled back, manager" in answer.content.decode()


def test_without_a_former_champion_it_says_so(cast, family, client_of):
    answer = client_of(cast.manager).post(address("roll_back"), follow=True)
    assert "There has been no other champion." in answer.content.decode()


@pytest.mark.parametrize("name", ["roll_back"])
def test_nobody_else_rolls_back(cast, family, client_of, name):
    assert client_of(cast.rater).post(address(name)).status_code == 403
    assert client_of(cast.manager).get(address(name)).status_code == 405


@pytest.mark.parametrize(
    ("wins", "most", "message"),
    [
        (0, 400, "has proved worse than base"),
        (14, 400, "has proved better than base"),
        (7, 400, "no comparison is left"),
        (7, 14, "has not proved better within the number"),
    ],
)
def test_what_the_panel_says(cast, family, gate, client_of, wins, most, message):
    LoopSettings.objects.create(project=cast.project, gate_votes=most)
    cast.project.comparisons.filter(prompt__is_held_out=True).update(purpose="gate")
    met = cast.project.comparisons.filter(purpose="gate", state="open")
    for number, comparison in enumerate(met.order_by("pk")[:14]):
        judge(comparison, cast.rater, "a" if number < wins else "b")
    cast.project.comparisons.filter(purpose="gate", state="open").update(purpose="normal")
    assert gates.standing(gate).waiting == 0
    page = client_of(cast.manager).get(address("policies")).content.decode()
    assert message in page


def test_a_policy_that_nobody_has_judged_is_promoted_after_one_question(cast, family, client_of):
    _base, first = family
    client = client_of(cast.manager)
    asked = client.post(address("promote", "round-1"), {"stay": "yes"})
    assert "Nobody has judged an answer of round-1 yet." in asked.content.decode()
    first.refresh_from_db()
    assert first.state == Policy.State.CANDIDATE
    comparison = Comparison.objects.filter(a__policy=first).first()
    judge(comparison, cast.rater, "a")
    assert client.post(address("promote", "round-1"), {"stay": "yes"}).status_code == 302
    first.refresh_from_db()
    assert first.state == Policy.State.CHAMPION


def test_gold_made_of_a_pair_that_a_round_has_used_says_so(cast, family, client_of):
    client = client_of(cast.manager)
    pairs = PreferencePair.objects.order_by("pk")
    Prompt.objects.update(is_held_out=False)
    used, unused = pairs.first().comparison, pairs.last().comparison
    Round.objects.filter(number=2).delete()
    for comparison, is_said in ((used, True), (unused, False)):
        page = client.get(reverse("comparison", args=["sharpen", comparison.pk])).content.decode()
        assert ("Round 1 has trained on this pair." in page) is is_said
