"""The whole hostile corpus on one card: nothing runs, loads or breaks the layout."""

import pytest
from django.urls import reverse

from annotate.content.completions import storable
from annotate.content.prompts import prompt_digest
from annotate.models import Prompt
from tests.factories import make_comparison, make_completion, make_policy
from tests.hostile import ACTIVE, DECEIVING, HEAVY

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

OURS = {"dir", "class", "start", "tabindex"}
SEEN = """() => {
  const all = [...document.querySelectorAll(".text *")];
  return {
    tags: [...new Set(all.filter(one => !one.closest("math")).map(one => one.localName))],
    attributes: [...new Set(
      all.filter(one => !one.closest("math")).flatMap(one => one.getAttributeNames()))],
    inMath: [...new Set(
      all.filter(one => one.closest("math")).flatMap(one => one.getAttributeNames()))],
    ran: window.ran === true,
    width: document.documentElement.scrollWidth,
  };
}"""


def card(cast, texts, a, b):
    """A comparison whose conversation is ``texts``, one message each."""
    messages = [
        {"role": ("user", "assistant")[number % 2], "content": storable(text)}
        for number, text in enumerate(texts)
    ]
    prompt = Prompt.objects.create(
        project=cast.project, messages=messages, digest=prompt_digest(messages), is_held_out=False
    )
    policy = make_policy(cast.project)
    make_comparison(
        cast.project,
        prompt=prompt,
        a=make_completion(prompt, policy, a),
        b=make_completion(prompt, policy, b),
    )


@pytest.mark.parametrize(
    "texts",
    [
        [*ACTIVE.values(), *DECEIVING.values()],
        [text[:3_000] for text in HEAVY.values()],
    ],
    ids=["active and deceiving", "heavy"],
)
def test_the_corpus_does_nothing_on_a_card(page, cast, log_in, texts):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.add_init_script("window.alert = () => { window.ran = true; }")
    page.set_viewport_size({"width": 1440, "height": 900})
    card(cast, texts, "\n\n".join(texts[:20]), "\n\n".join(texts[20:40]))
    log_in(cast.rater)
    url = reverse("rate", args=[cast.project.slug])
    page.goto(url, wait_until="networkidle")
    seen = page.evaluate(SEEN)
    assert not {"script", "style", "img", "svg", "a", "form", "input", "iframe"} & set(seen["tags"])
    assert set(seen["attributes"]) <= OURS
    assert not {"href", "xlink:href", "style", "class", "id", "actiontype"} & set(seen["inMath"])
    assert not seen["ran"]
    assert not dialogs
    assert seen["width"] <= 1440
    assert page.url.endswith(url)
    assert page.locator("form.verdict button[name=choice]").count() == 5


def test_a_megabyte_of_anything_leaves_the_card_usable(page, cast, log_in):
    card(cast, ["Which?"], HEAVY["a megabyte of '['"], HEAVY["a megabyte of '<'"])
    log_in(cast.rater)
    page.goto(reverse("rate", args=[cast.project.slug]))
    page.click("button[value=tie]")
    page.wait_for_selector("text=Nothing to judge right now")
