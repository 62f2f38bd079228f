"""The ranking page and its downloads: who sees them, and that they agree."""

from __future__ import annotations

import csv
import io

import pytest
from django.core.cache import cache
from django.urls import reverse

from annotate.models import Policy
from tests.factories import make_policy
from tests.training.voting import vote
from training.views.policies.ranking import harmless, points

NAMES = ["ranking", "ranking_csv", "ranking_json"]


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def judged(cast):
    champion = make_policy(cast.project, "base", state=Policy.State.CHAMPION)
    better = make_policy(cast.project, "round-1")
    for turn in range(24):
        vote(cast.project, better, champion, cast.rater, "a" if turn % 4 else "b")
    return cast.project


@pytest.mark.parametrize("name", NAMES)
def test_it_is_for_managers(cast, judged, client_of, name):
    address = reverse(name, args=[judged.slug])
    assert client_of(cast.manager).get(address).status_code == 200
    assert client_of(cast.rater).get(address).status_code == 403
    assert client_of(cast.stranger).get(address).status_code == 404
    assert client_of(cast.manager).post(address).status_code == 405


@pytest.mark.parametrize("name", NAMES)
def test_without_votes_there_is_an_empty_one(cast, client_of, name):
    assert client_of(cast.manager).get(reverse(name, args=["sharpen"])).status_code == 200


def test_page_csv_and_json_agree(cast, judged, client_of):
    client = client_of(cast.manager)
    page = client.get(reverse("ranking", args=[judged.slug])).content.decode()
    data = client.get(reverse("ranking_json", args=[judged.slug])).json()
    text = client.get(reverse("ranking_csv", args=[judged.slug])).content.decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["policy"] for line in lines] == ["round-1", "base"]
    for line, policy in zip(lines, data["policies"], strict=True):
        assert line["policy"] == policy["policy"]
        assert float(line["points"]) == pytest.approx(policy["points"]["value"], abs=0.006)
        assert points(policy["points"]["value"]) in page
        assert (int(line["wins"]), int(line["losses"])) == (policy["wins"], policy["losses"])
    assert data["policies"][0]["wins"] == 18
    assert data["matrix"][0] == {
        "policy": "round-1",
        "against": "base",
        "wins": 18,
        "losses": 6,
        "undecided": 0,
    }


def test_what_was_asked_for_holds_for_the_files_too(cast, judged, client_of):
    client = client_of(cast.manager)
    address = reverse("ranking", args=[judged.slug]) + "?against=base&length=free"
    page = client.get(address).content.decode()
    assert "<option selected>base</option>" in page
    assert "ranking.csv?against=base&amp;length=free" in page
    data = client.get(
        reverse("ranking_json", args=[judged.slug]), {"against": "base", "length": "free"}
    ).json()
    assert (data["against"], data["length_controlled"]) == ("base", False)
    assert data["policies"][1]["points"] == {"value": 0, "low": 0, "high": 0}


def test_numbers_inside_drawings_are_numbers_in_german_too(cast, judged, client_of):
    page = client_of(cast.manager).get(
        reverse("ranking", args=[judged.slug]), headers={"accept-language": "de"}
    )
    drawing = page.content.decode().partition('class="span" x1="')[2].partition('"')[0]
    assert float(drawing) >= 0


@pytest.mark.parametrize(
    ("value", "text"), [(84.4, "+84"), (-84.6, "−85"), (0, "0"), (-0.2, "0"), (0.3, "0")]
)
def test_points_in_words(value, text):
    assert points(value) == text


@pytest.mark.parametrize(("text", "safe"), [("-x", "'-x"), ("=1", "'=1"), ("round-1", "round-1")])
def test_no_formulas(text, safe):
    assert harmless(text) == safe
