"""The project editor, the text editor and the comparisons page, as a manager uses them."""

import pytest
from django.urls import reverse

from annotate.forms.project import keyed
from annotate.models import Comparison, GoldItem, Judgement, PracticeItem, Project, ProjectText
from annotate.onboarding import texts
from tests.factories import make_comparison, make_completion, make_policy, make_prompt

pytestmark = pytest.mark.django_db
EDITOR = {
    "name": "Sharpen",
    "question": "Which helps more?",
    "strength_mode": "optional",
    "criteria_names": "Helpful\nHonest\n\n Not  harmful ",
    "criteria_required": "on",
    "reason_mode": "required",
    "reason_min_length": "20",
    "reason_tag_names": "Wrong\nToo long",
    "flags_on": "on",
    "editing_on": "",
    "judgements_wanted": "3",
    "lease_minutes": "15",
    "gold_every": "12",
    "practice_pass_percent": "60",
    "show_agreement": "on",
}


def url(name, *more):
    return reverse(name, args=["sharpen", *more])


@pytest.fixture
def manager(cast, client_of):
    return client_of(cast.manager)


# --- the editor ---


def test_everything_is_saved_together(cast, manager):
    assert manager.post(url("editor"), EDITOR)["Location"] == url("editor")
    project = Project.objects.get()
    assert project.question == "Which helps more?"
    assert project.criteria == [
        {"key": "helpful", "name": "Helpful"},
        {"key": "honest", "name": "Honest"},
        {"key": "not_harmful", "name": "Not harmful"},
    ]
    assert project.reason_tags == ["Wrong", "Too long"]
    assert (project.gold_every, project.practice_pass_percent) == (12, 60)
    assert project.show_agreement
    page = manager.get(url("editor")).content.decode()
    assert "Helpful\nHonest\nNot harmful" in page
    assert "Cards look like this from now on." in page


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        ({"question": ""}, "question", "A card needs a question."),
        ({"strength_mode": "always"}, "strength_mode", "valid choice"),
        ({"reason_mode": "off"}, "reason_min_length", "needs reasons"),
        ({"criteria_names": ""}, "criteria_required", "no criteria"),
        ({"criteria_names": "Kind\nkind"}, "criteria_names", "listed twice"),
        ({"reason_tag_names": "\n".join("abcdefghijklm")}, "reason_tag_names", "At most 12"),
        ({"lease_minutes": "0"}, "lease_minutes", "greater than or equal to 1"),
        ({"gold_every": "-1"}, "gold_every", "greater than or equal to 0"),
    ],
)
def test_bad_input_is_refused_whole_with_words_and_nothing_lost(
    cast, manager, wrong, field, message
):
    response = manager.post(url("editor"), EDITOR | {"name": "Another"} | wrong)
    page = response.content.decode()
    assert response.status_code == 422
    assert message in " ".join(response.context["form"].errors[field])
    assert f'id="id_{field}_error"' in page
    assert 'value="Another"' in page
    assert Project.objects.get().name == "Sharpen"
    assert "<title>The card · Sharpen" in page


def test_the_preview_shows_the_real_card_and_stores_nothing(cast, manager):
    prompt = make_prompt(cast.project, "What is real?")
    make_comparison(cast.project, prompt=prompt)
    answer = manager.post(url("editor_preview"), EDITOR, headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert "What is real?" in page
    assert "Which helps more?" in page
    assert "inert" in page
    assert "<html" not in page
    assert "hx-swap-oob" not in page
    assert Project.objects.get().question == "Which response is better?"
    assert not Judgement.objects.exists()


def test_a_preview_of_bad_input_shows_what_is_saved(cast, manager):
    page = manager.post(url("editor_preview"), EDITOR | {"question": ""}).content.decode()
    assert "Which response is better?" in page


def test_without_javascript_a_button_previews_and_saves_nothing(cast, manager):
    response = manager.post(url("editor"), EDITOR | {"preview": "yes"})
    assert response.status_code == 200
    assert "Which helps more?" in response.content.decode()
    assert Project.objects.get().question == "Which response is better?"


def test_a_criterion_keeps_its_key():
    before = [{"key": "helpful", "name": "Helpful"}, {"key": "x", "name": "Kind"}]
    assert keyed(["kind", "Helpful!", "有用"], before) == [
        {"key": "x", "name": "kind"},
        {"key": "helpful_2", "name": "Helpful!"},
        {"key": "criterion", "name": "有用"},
    ]


# --- texts ---


def write(manager, kind="guidelines", base=0, **fields):
    return manager.post(url("text_editor", kind), {"base": base, "text": "", "note": "", **fields})


def test_saving_makes_a_version_and_the_list_shows_it(cast, manager):
    write(manager, text="One")
    write(manager, base=1, text="Two", note="Shorter")
    page = manager.get(url("text_editor", "guidelines")).content.decode()
    assert "Version 2" in page
    assert "Shorter" in page
    version_page = manager.get(url("text_version", "guidelines", 2)).content.decode()
    assert "Two</ins>" in version_page
    assert "One</del>" in version_page


def test_two_managers_do_not_write_over_each_other(cast, manager):
    write(manager, text="One")
    response = write(manager, base=0, text="Mine")
    assert response.status_code == 409
    page = response.content.decode()
    assert "Mine" in page
    assert 'name="base" value="1"' in page
    assert ProjectText.objects.count() == 1


def test_the_texts_preview_is_safe_and_stores_nothing(cast, manager):
    page = manager.post(
        url("text_preview", "consent"), {"text": "**Yes** <script>alert(1)</script>"}
    ).content.decode()
    assert "<strong>Yes</strong>" in page
    assert "<script>alert" not in page
    assert not ProjectText.objects.exists()


def test_an_older_version_is_brought_back_as_a_new_one(cast, manager):
    for number, text in enumerate(("One", "Two")):
        write(manager, base=number, text=text)
    assert (
        "Bring this version back"
        in manager.get(url("text_version", "guidelines", 1)).content.decode()
    )
    write(manager, base=2, text="One", note="Back to version 1")
    assert texts.newest(cast.project, texts.Kind.GUIDELINES).number == 3


def test_there_are_two_kinds_of_texts(cast, manager):
    assert manager.get(url("text_editor", "poems")).status_code == 404


# --- comparisons ---


@pytest.fixture
def comparison(cast):
    prompt = make_prompt(cast.project, "Wie groß ist der Mond?")
    policy = make_policy(cast.project)
    return make_comparison(
        cast.project,
        prompt=prompt,
        a=make_completion(prompt, policy, "Sehr groß."),
        b=make_completion(prompt, policy, "Klein."),
    )


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 2),
        ("q=groß", 1),
        ("q=klein", 1),
        ("q=elephant", 0),
        ("state=open", 1),
        ("state=settled&result=tie", 1),
        ("item=gold", 0),
        ("item=none", 2),
        ("state=lost", 0),
    ],
)
def test_filters(cast, manager, comparison, query, count):
    make_comparison(cast.project, state="settled", result="tie")
    response = manager.get(f"{url('comparisons')}?{query}")
    assert len(response.context["page"]) == count


def test_pages_go_back_in_time(cast, manager, monkeypatch):
    monkeypatch.setattr("annotate.views.comparisons.A_PAGE", 2)
    numbers = [make_comparison(cast.project).pk for _ in range(3)]
    first = manager.get(url("comparisons"))
    second = manager.get(f"{url('comparisons')}?{first.context['older']}")
    shown = [comparison.pk for page in (first, second) for comparison in page.context["page"]]
    assert shown == numbers[::-1]


def test_an_item_is_made_changed_and_taken_out_of_use(cast, manager, comparison):
    address = url("comparison", comparison.pk)
    practice = {"kind": "practice", "practice-expected": ["a"], "practice-feedback": "True."}
    manager.post(address, practice)
    manager.post(address, practice | {"practice-expected": ["a", "tie"]})
    manager.post(address, {"kind": "gold", "gold-expected": ["a"]})
    assert PracticeItem.objects.get().expected == ["a", "tie"]
    gold = GoldItem.objects.get()
    assert gold.comparison.purpose == Comparison.Purpose.GOLD
    assert len(manager.get(f"{url('comparisons')}?item=gold").context["page"]) == 1
    for kind in ("practice", "gold"):
        manager.post(address, {"retire": kind})
    assert PracticeItem.objects.get().retired_at
    assert GoldItem.objects.get().retired_at
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.OPEN


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "practice", "practice-expected": ["a"], "practice-feedback": ""},
        {"kind": "gold"},
        {"kind": "gold", "gold-expected": ["a", "b", "tie", "both_bad"]},
        {"kind": "silver"},
    ],
)
def test_an_item_that_teaches_nothing_is_refused(cast, manager, comparison, wrong):
    assert manager.post(url("comparison", comparison.pk), wrong).status_code == 422
    assert not PracticeItem.objects.exists()
    assert not GoldItem.objects.exists()


@pytest.mark.parametrize(
    "address",
    [
        url("editor"),
        url("editor_preview"),
        url("text_editor", "guidelines"),
        url("text_preview", "consent"),
        url("comparisons"),
    ],
)
def test_these_pages_are_for_managers(cast, client_of, address):
    method = "post" if address.endswith("preview/") else "get"
    assert getattr(client_of(cast.rater), method)(address).status_code == 403
    assert getattr(client_of(cast.stranger), method)(address).status_code == 404


def test_one_comparison_is_for_managers_of_its_project(cast, client_of, comparison):
    address = url("comparison", comparison.pk)
    assert client_of(cast.rater).get(address).status_code == 403
    assert client_of(cast.stranger).get(address).status_code == 404
    elsewhere = make_comparison(Project.objects.create(slug="else", name="Else"))
    other_address = url("comparison", elsewhere.pk)
    assert client_of(cast.manager).get(other_address).status_code == 404
