"""HTML from an older renderer is rendered again, when it is read or all at once."""

import pytest
from django.core.management import call_command
from django.urls import reverse

from annotate.content.completions import safe_html
from annotate.models import Completion
from annotate.rendering.render import VERSION
from tests.factories import make_comparison, make_completion, make_policy, make_prompt

pytestmark = pytest.mark.django_db


@pytest.fixture
def completion(cast):
    made = make_completion(make_prompt(cast.project), make_policy(cast.project), "*new*")
    Completion.objects.update(html="<p>old</p>", html_version=VERSION - 1)
    made.refresh_from_db()
    return made


def test_what_is_stored_now_is_current(cast):
    made = make_completion(make_prompt(cast.project), make_policy(cast.project), "*new*")
    assert made.html_version == VERSION


def test_old_html_is_made_anew_when_read_and_stored(completion):
    assert "<em>new</em>" in safe_html(completion)
    completion.refresh_from_db()
    assert (completion.html, completion.html_version) == (safe_html(completion), VERSION)


def test_current_html_is_read_as_it_is(completion, django_assert_num_queries):
    Completion.objects.update(html="<p>kept</p>", html_version=VERSION)
    completion.refresh_from_db()
    with django_assert_num_queries(0):
        assert safe_html(completion) == "<p>kept</p>"


def test_the_card_shows_the_new_html(cast, client_of):
    make_comparison(cast.project)
    Completion.objects.update(html="<p>stale</p>", html_version=0)
    page = client_of(cast.rater).get(reverse("rate", args=[cast.project.slug])).content.decode()
    assert "stale" not in page
    assert "Answer" in page


def test_the_command_renders_all_that_is_old(completion, capsys):
    make_completion(completion.prompt, completion.policy, "current")
    call_command("render_anew")
    completion.refresh_from_db()
    assert "<em>new</em>" in completion.html
    assert "1 completions rendered; all are current." in capsys.readouterr().out
    call_command("render_anew")
    assert "0 completions rendered; all are current." in capsys.readouterr().out
