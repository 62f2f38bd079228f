"""Members: roles, pausing, leaving, the effect on cards and judgements; who sees figures."""

import json

import pytest
from django.urls import reverse
from django.utils import timezone

from annotate.content.export import pairs_of
from annotate.models import Comparison, Consent, Departure, Judgement, Membership, PreferencePair
from annotate.onboarding import consent, texts
from annotate.people import members
from annotate.queue.cards import serve_next
from annotate.queue.record import record_verdict
from tests.factories import make_comparison

pytestmark = pytest.mark.django_db


def member(user):
    return Membership.objects.select_related("project", "user").get(user=user)


def judge(cast, rater, choice="left"):
    card = serve_next(project=cast.project, rater=rater)
    record_verdict(code=card.code, rater=rater, choice=choice)
    return card


# --- pausing ---


def test_a_paused_rater_gets_no_card_and_is_told_why(cast, client_of):
    make_comparison(cast.project)
    members.pause(membership=member(cast.rater), reason="Please call me.")
    assert serve_next(project=cast.project, rater=cast.rater) is None
    page = client_of(cast.rater).get(reverse("rate", args=["sharpen"])).content.decode()
    assert "paused your part" in page
    assert "Please call me." in page


def test_held_cards_go_to_others_at_once(cast):
    make_comparison(cast.project)
    serve_next(project=cast.project, rater=cast.rater)
    assert serve_next(project=cast.project, rater=cast.colleague) is None
    members.pause(membership=member(cast.rater))
    assert serve_next(project=cast.project, rater=cast.colleague) is not None


def test_a_resumed_rater_gets_cards_again(cast):
    make_comparison(cast.project)
    members.pause(membership=member(cast.rater), reason="A while.")
    members.resume(membership=member(cast.rater))
    assert member(cast.rater).paused_reason == ""
    assert serve_next(project=cast.project, rater=cast.rater) is not None


# --- leaving ---


def test_judgements_stay_by_default(cast, client_of):
    make_comparison(cast.project)
    judge(cast, cast.rater)
    client = client_of(cast.rater)
    client.post(reverse("leave", args=["sharpen"]), {"judgements": "keep"})
    assert not Membership.objects.filter(user=cast.rater).exists()
    assert Judgement.objects.get().retracted_at is None
    assert pairs_of(cast.project).count() == 1
    assert client.get(reverse("rate", args=["sharpen"])).status_code == 404
    assert not Departure.objects.get().took_judgements


def test_taking_judgements_along_opens_their_comparisons_again(cast, client_of):
    for _ in range(2):
        make_comparison(cast.project)
    judge(cast, cast.rater)
    judge(cast, cast.rater, "skip")
    client_of(cast.rater).post(reverse("leave", args=["sharpen"]), {"judgements": "take"})
    assert not Judgement.objects.filter(retracted_at=None).exists()
    assert not PreferencePair.objects.exists()
    for comparison in Comparison.objects.all():
        assert (comparison.state, comparison.judgements_taken) == ("open", 0)


def test_a_frozen_pair_is_left_out_of_what_comes(cast):
    make_comparison(cast.project)
    judge(cast, cast.rater)
    PreferencePair.objects.update(frozen_at=timezone.now())
    members.leave(membership=member(cast.rater), take_judgements=True)
    assert PreferencePair.objects.get().withdrawn_at is not None
    assert not pairs_of(cast.project).exists()
    assert Judgement.objects.get().retracted_at is not None


def test_others_votes_on_the_same_comparison_stay(cast):
    comparison = make_comparison(cast.project, wanted=2)
    judge(cast, cast.rater)
    judge(cast, cast.colleague)
    members.leave(membership=member(cast.rater), take_judgements=True)
    comparison.refresh_from_db()
    assert (comparison.state, comparison.judgements_taken) == ("open", 1)
    assert Judgement.objects.get(retracted_at=None).rater == cast.colleague


def test_leaving_withdraws_consent_and_gives_cards_back(cast):
    texts.write(project=cast.project, kind=texts.Kind.CONSENT, text="One", author=None)
    consent.give_consent(membership=member(cast.rater), number=1)
    comparison = make_comparison(cast.project)
    serve_next(project=cast.project, rater=cast.rater)
    members.leave(membership=member(cast.rater))
    comparison.refresh_from_db()
    assert comparison.judgements_taken == 0
    assert Consent.objects.get().withdrawn_at is not None
    assert consent.consent_due(project=cast.project, user=cast.rater)


def test_a_project_keeps_a_manager(cast, client_of):
    client = client_of(cast.manager)
    manager = member(cast.manager)
    address = reverse("change_member", args=["sharpen", manager.pk])
    for wish in ({"do": "role", "role": "rater"}, {"do": "remove"}):
        assert "needs a manager" in client.post(address, wish, follow=True).content.decode()
    client.post(reverse("leave", args=["sharpen"]))
    assert member(cast.manager).role == Membership.Role.MANAGER


# --- the page ---


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"do": "role", "role": "reviewer"}, "rater is a reviewer now."),
        ({"do": "pause", "reason": "Later"}, "rater is paused"),
        ({"do": "remove"}, "rater was removed"),
    ],
)
def test_what_a_manager_does_is_done_and_said(cast, client_of, wish, message):
    address = reverse("change_member", args=["sharpen", member(cast.rater).pk])
    page = client_of(cast.manager).post(address, wish, follow=True).content.decode()
    assert message in page


@pytest.mark.parametrize("wish", [{}, {"do": "role", "role": "king"}, {"do": "fire"}])
def test_an_unknown_wish_changes_nothing(cast, client_of, wish):
    address = reverse("change_member", args=["sharpen", member(cast.rater).pk])
    assert client_of(cast.manager).post(address, wish).status_code == 422


def test_the_page_shows_everybodys_figures(cast, client_of):
    for _ in range(3):
        make_comparison(cast.project)
        judge(cast, cast.rater)
    page = client_of(cast.manager).get(reverse("people", args=["sharpen"]))
    row = next(row for row in page.context["team"] if row.membership.user == cast.rater)
    assert (row.today, row.total) == (3, 3)
    assert row.seconds is not None


def test_figures_and_buttons_are_for_managers(cast, client_of):
    for address in (
        reverse("people", args=["sharpen"]),
        reverse("change_member", args=["sharpen", member(cast.colleague).pk]),
    ):
        for method in ("get", "post"):
            if method == "get" and "people/" not in address.removesuffix("people/"):
                assert client_of(cast.rater).get(address).status_code == 403
            assert getattr(client_of(cast.stranger), method)(address).status_code in (404, 405)
    assert client_of(cast.rater).post(address, {"do": "remove"}).status_code == 403
    assert member(cast.colleague)


def test_members_of_other_projects_are_out_of_reach(cast, client_of, db):
    from tests.factories import join, make_project, make_user

    elsewhere = make_project()
    other = join(elsewhere, make_user())
    pk = Membership.objects.get(user=other).pk
    address = reverse("change_member", args=["sharpen", pk])
    assert client_of(cast.manager).post(address, {"do": "remove"}).status_code == 404


# --- a rater's own pages ---


def test_own_progress_shows_own_figures_alone(cast, client_of):
    for _ in range(4):
        make_comparison(cast.project)
    for rater, times in ((cast.rater, 1), (cast.colleague, 3)):
        for _ in range(times):
            judge(cast, rater)
    response = client_of(cast.rater).get(reverse("my_progress", args=["sharpen"]))
    assert response.context["work"].total == 1
    assert "colleague" not in response.content.decode()


def test_agreement_is_shown_where_the_manager_allows_it(cast, client_of):
    client, address = client_of(cast.rater), reverse("my_progress", args=["sharpen"])
    make_comparison(cast.project)
    judge(cast, cast.rater)
    assert "Agreement" not in client.get(address).content.decode()
    cast.project.show_agreement = True
    cast.project.save()
    assert "Agreement" in client.get(address).content.decode()


def test_everything_stored_can_be_seen_and_downloaded(cast, client_of):
    make_comparison(cast.project)
    judge(cast, cast.rater)
    client = client_of(cast.rater)
    page = client.get(reverse("my_data", args=["sharpen"])).content.decode()
    assert "What is stored about you" in page
    data = json.loads(client.get(reverse("my_data_download", args=["sharpen"])).content)
    assert len(data["judgements"]) == 1
    assert data["account"]["username"] == "rater"
    assert "colleague" not in str(data)
    assert "policy" not in str(data)
