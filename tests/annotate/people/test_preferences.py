"""A rater's own settings: keys, text size, appearance."""

import json

import pytest
from django.urls import reverse

from annotate.people.preferences import (
    ACTIONS,
    ARROWS,
    STANDARD,
    UnusableKey,
    as_bindings,
    cap,
    keys_of,
    read_key,
)

KEYS = {f"{action}_{n + 1}": key for action, keys in STANDARD.items() for n, key in enumerate(keys)}
FORM = {"profile": "own", "text": "normal", "theme": "auto", **KEYS}


@pytest.fixture
def rater(cast, client_of):
    return client_of(cast.rater)


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        *(("A", "a"), ("?", "?"), ("", ""), ("  ", ""), ("f2", "F2"), ("Ü", "ü")),
        *(("←", "ArrowLeft"), ("left", "ArrowLeft"), ("arrowup", "ArrowUp")),
    ],
)
def test_a_key_is_read_as_a_person_writes_it(typed, key):
    assert read_key(typed) == key


@pytest.mark.parametrize("typed", ["Tab", "enter", " ", "space", "Backspace", "Esc", "ab"])
def test_a_key_that_the_page_needs_is_refused(typed):
    with pytest.raises(UnusableKey):
        read_key(typed)


@pytest.mark.parametrize("keys", [STANDARD, ARROWS])
def test_no_key_of_a_profile_does_two_things(keys):
    bound = [key for some in keys.values() for key in some]
    assert len(bound) == len(set(bound))
    assert set(keys) == set(ACTIONS)
    assert len(json.loads(as_bindings(keys))) == len(bound)


def test_keycaps():
    assert [cap(key) for key in ("a", "ArrowLeft", "F2", "?")] == ["A", "←", "F2", "?"]


@pytest.mark.django_db
class TestKept:
    @pytest.mark.parametrize(
        ("stored", "left"),
        [
            ({}, ["1", "a"]),
            ({"profile": "arrows"}, ["ArrowLeft"]),
            ({"profile": "off"}, []),
            ({"profile": "own", "keys": {"left": ["j"]}}, ["j"]),
            ({"profile": "own", "keys": "broken"}, ["1", "a"]),
            ({"profile": "unheard of"}, ["1", "a"]),
        ],
    )
    def test_the_profile_decides(self, cast, stored, left):
        cast.rater.preferences = stored
        assert keys_of(cast.rater)["left"] == left

    def test_saving_and_going_back_to_work(self, cast, rater):
        back = reverse("rate", args=[cast.project.slug])
        sent = {**FORM, "left_1": "J", "left_2": "", "text": "larger", "theme": "contrast"}
        answer = rater.post(reverse("you"), {**sent, "next": back})
        assert answer["Location"] == back
        cast.rater.refresh_from_db()
        assert keys_of(cast.rater)["left"] == ["j"]
        page = rater.get(back).content.decode()
        assert 'data-text="larger"' in page
        assert 'data-theme="contrast"' in page

    def test_the_stored_appearance_holds_in_another_browser(self, cast, rater):
        cast.rater.preferences = {"theme": "dark"}
        cast.rater.save()
        assert 'data-theme="dark"' in rater.get(reverse("you")).content.decode()
        rater.cookies["theme"] = "auto"  # this browser follows the system's setting
        assert "data-theme=" not in rater.get(reverse("you")).content.decode().split("<body")[0]

    def test_one_key_cannot_do_two_things(self, cast, rater):
        answer = rater.post(reverse("you"), {**FORM, "right_2": "1"})
        assert answer.status_code == 422
        assert "1 already stands for “A is better”" in answer.content.decode()
        cast.rater.refresh_from_db()
        assert cast.rater.preferences == {}

    def test_a_reserved_key_is_refused_beside_its_action(self, cast, rater):
        answer = rater.post(reverse("you"), {**FORM, "skip_1": "Tab"})
        assert answer.status_code == 422
        assert "keep their meaning" in answer.content.decode()

    def test_it_leads_nowhere_else(self, rater):
        answer = rater.post(reverse("you"), {**FORM, "next": "https://elsewhere.example/"})
        assert answer["Location"] == reverse("you")

    def test_a_visitor_is_asked_to_sign_in(self, client):
        assert reverse("login") in client.get(reverse("you"))["Location"]
