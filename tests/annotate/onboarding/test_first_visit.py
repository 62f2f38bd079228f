"""Consent, guidelines and practice before the first card; texts in versions."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction
from django.urls import reverse

from annotate.models import Consent, Membership, ProjectText
from annotate.onboarding import consent as consenting
from annotate.onboarding import texts
from annotate.onboarding.steps import next_step
from annotate.quality.practice import make_practice_item
from annotate.queue.cards import serve_next
from annotate.queue.empty_queue import why_empty
from tests.factories import make_comparison

pytestmark = pytest.mark.django_db
Kind = texts.Kind


@pytest.fixture
def membership(cast):
    return Membership.objects.select_related("project").get(user=cast.rater)


def url(name, *more):
    return reverse(name, args=["sharpen", *more])


def write(cast, kind, text, **more):
    return texts.write(project=cast.project, kind=kind, text=text, author=cast.manager, **more)


def practise(cast, expected=("a",)):
    return make_practice_item(
        comparison=make_comparison(cast.project),
        expected=list(expected),
        feedback="*A* is right.",
        by=cast.manager,
    )


# --- versions ---


def test_versions_count_up_and_the_project_shows_the_newest(cast):
    write(cast, Kind.GUIDELINES, "One")
    write(cast, Kind.GUIDELINES, "Two", note="Shorter")
    write(cast, Kind.CONSENT, "Mine")
    cast.project.refresh_from_db()
    assert (cast.project.guidelines, cast.project.consent_text) == ("Two", "Mine")
    versions = texts.versions(cast.project, Kind.GUIDELINES)
    assert [(version.number, version.text, version.author) for version in versions] == [
        (2, "Two", cast.manager),
        (1, "One", cast.manager),
    ]


def test_the_same_text_makes_no_version(cast):
    write(cast, Kind.GUIDELINES, "One\r\n\r\nmore")
    assert write(cast, Kind.GUIDELINES, "One\n\nmore\n") is None
    assert ProjectText.objects.count() == 1


def test_a_version_is_never_changed(cast):
    version = write(cast, Kind.GUIDELINES, "One")
    version.text = "Another"
    with pytest.raises(TypeError):
        version.save()


def test_the_database_refuses_a_number_twice(cast):
    write(cast, Kind.GUIDELINES, "One")
    with pytest.raises(IntegrityError), transaction.atomic():
        ProjectText.objects.create(project=cast.project, kind=Kind.GUIDELINES, number=1)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a\nb", "a\nc", [("same", "a"), ("removed", "b"), ("added", "c")]),
        ("", "a", [("added", "a")]),
        ("a", "a", []),
        (
            "1\n2\n3\n4\n5\n6",
            "1\n2\n3\n4\n5\nx",
            [("gap", ""), ("same", "4"), ("same", "5"), ("removed", "6"), ("added", "x")],
        ),
    ],
)
def test_what_changed(old, new, expected):
    assert [(line.change, line.text) for line in texts.difference(old, new)] == expected


# --- the way to the first card ---


def test_a_project_without_steps_leads_straight_to_the_cards(cast, membership, client_of):
    assert next_step(membership) is None
    assert client_of(cast.rater).get(url("rate")).status_code == 200


def test_the_steps_come_in_order(cast, membership, client_of):
    write(cast, Kind.CONSENT, "May we keep your **choices**?")
    write(cast, Kind.GUIDELINES, "Be *kind*")
    item = practise(cast)
    make_comparison(cast.project)
    client = client_of(cast.rater)

    assert client.get(url("rate"))["Location"] == url("consent")
    assert "<strong>choices</strong>" in client.get(url("consent")).content.decode()
    response = client.post(url("consent"), {"number": 1})

    assert response["Location"] == url("guidelines")
    assert "<em>kind</em>" in client.get(url("guidelines")).content.decode()
    assert client.get(url("rate"))["Location"] == url("guidelines")
    response = client.post(url("guidelines_read"))

    assert response["Location"] == url("practice")
    client.post(url("practice"), {"item": item.pk, "choice": "tie"})
    assert "From now on" in client.get(url("practice")).content.decode()

    assert client.get(url("rate")).status_code == 200
    consent = Consent.objects.get()
    assert (consent.user, consent.text.number) == (cast.rater, 1)


def test_managers_are_not_sent_through_it(cast, client_of):
    write(cast, Kind.CONSENT, "Agree?")
    assert client_of(cast.manager).get(url("rate")).status_code == 200


def test_who_is_at_work_already_is_not_sent_back_to_guidelines(cast, membership):
    make_comparison(cast.project)
    serve_next(project=cast.project, rater=cast.rater)
    write(cast, Kind.GUIDELINES, "New")
    practise(cast)
    assert next_step(membership) is None


# --- consent ---


def test_a_changed_consent_text_is_asked_before_the_next_card(cast, client_of):
    write(cast, Kind.CONSENT, "One")
    for _ in range(3):
        make_comparison(cast.project)
    client = client_of(cast.rater)
    client.post(url("consent"), {"number": 1})
    assert serve_next(project=cast.project, rater=cast.rater)
    write(cast, Kind.CONSENT, "Two")
    assert serve_next(project=cast.project, rater=cast.rater) is None
    assert why_empty(project=cast.project, rater=cast.rater).reason == "consent"
    assert client.get(url("rate"))["Location"] == url("consent")
    assert "You agreed to another version" in client.get(url("consent")).content.decode()
    client.post(url("consent"), {"number": 2})
    assert client.get(url("rate")).status_code == 200
    assert Consent.objects.count() == 2


def test_agreeing_to_a_text_that_has_changed_meanwhile_records_nothing(cast, client_of):
    write(cast, Kind.CONSENT, "One")
    write(cast, Kind.CONSENT, "Two")
    response = client_of(cast.rater).post(url("consent"), {"number": 1})
    assert response["Location"] == url("consent")
    assert not Consent.objects.exists()


def test_pressed_twice_is_agreed_once(cast, client_of, membership):
    write(cast, Kind.CONSENT, "One")
    client = client_of(cast.rater)
    for _ in range(2):
        client.post(url("consent"), {"number": 1})
    assert Consent.objects.count() == 1
    assert consenting.give_consent(membership=membership, number=1)


def test_declining_records_nothing_and_shows_no_card(cast, client_of):
    write(cast, Kind.CONSENT, "One")
    client = client_of(cast.rater)
    assert "Nothing was recorded" in client.get(url("consent") + "?declined").content.decode()
    assert not Consent.objects.exists()
    assert client.get(url("rate"))["Location"] == url("consent")


def test_an_emptied_consent_text_asks_nothing(cast, membership):
    write(cast, Kind.CONSENT, "One")
    write(cast, Kind.CONSENT, "")
    membership.project.refresh_from_db()
    assert next_step(membership) is None


# --- guidelines ---


def test_changed_guidelines_are_announced_once_and_not_forced(cast, client_of, membership):
    write(cast, Kind.GUIDELINES, "Be kind")
    client = client_of(cast.rater)
    client.post(url("guidelines_read"))
    assert "Guidelines changed" not in client.get(url("rate")).content.decode()
    write(cast, Kind.GUIDELINES, "Be kind\nand short", note="Short is better")
    page = client.get(url("rate")).content.decode()
    assert "Guidelines changed on" in page
    assert "Short is better" in page
    guidelines = client.get(url("guidelines")).content.decode()
    assert "What is new" in guidelines
    assert "and short</ins>" in guidelines
    assert "Guidelines changed" not in client.get(url("rate")).content.decode()


def test_the_news_can_be_put_away_unread(cast, client_of):
    write(cast, Kind.GUIDELINES, "One")
    client = client_of(cast.rater)
    client.post(url("guidelines_read"))
    write(cast, Kind.GUIDELINES, "Two")
    assert client.post(url("guidelines_read"))["Location"] == url("rate")
    assert "Guidelines changed" not in client.get(url("rate")).content.decode()


@pytest.mark.parametrize("name", ["consent", "guidelines", "practice", "my_progress", "my_data"])
def test_strangers_find_nothing(cast, client_of, name):
    write(cast, Kind.CONSENT, "One")
    assert client_of(cast.stranger).get(url(name)).status_code == 404


def test_texts_from_before_there_were_versions_become_the_first(cast, membership):
    migration = import_module("annotate.migrations.0003_people")
    type(cast.project).objects.update(guidelines="Be kind", consent_text="Agree?")
    migration.first_versions(apps, None)
    versions = {
        (version.kind, version.number, version.text) for version in ProjectText.objects.all()
    }
    assert versions == {("guidelines", 1, "Be kind"), ("consent", 1, "Agree?")}
    membership.refresh_from_db()
    assert membership.guidelines_read.text == "Be kind"
