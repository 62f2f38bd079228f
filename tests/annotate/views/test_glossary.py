import re

import pytest
from django.template import Context, Template
from django.urls import reverse
from django.utils import translation

from annotate.glossary import terms
from tests.conftest import ROOT

pytestmark = pytest.mark.django_db


def test_both_languages_have_the_same_terms():
    assert list(terms("en")) == list(terms("de"))
    assert all(term.words for term in [*terms("en").values(), *terms("de").values()])


def test_every_term_that_a_page_marks_is_there(cast, client_of):
    page = client_of(cast.rater).get(reverse("glossary")).content.decode()
    marked = {
        slug
        for template in (ROOT / "templates").rglob("*.html")
        for slug in re.findall(r'\{% term "([\w-]+)" %\}', template.read_text("utf-8"))
    }
    assert {"implicit-reward", "bradley-terry", "held-out", "gate"} <= marked
    assert all(f'id="{slug}"' in page for slug in marked)


def test_a_mark_says_what_it_means_and_where_to_read_more():
    template = Template('{% load glossary %}{% term "kl" %}')
    assert "Kullback-Leibler divergence" in template.render(Context())
    with translation.override("de"):
        mark = template.render(Context())
    assert "Kullback-Leibler-Divergenz" in mark
    assert f'href="{reverse("glossary")}#kl"' in mark
