"""A note with a question and its button, on a screen of any width."""

import pytest

from annotate.models import Policy
from tests.factories import make_policy, make_prompt
from training.models import Endpoint, LoopSettings

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("width", [375, 1280])
def test_the_button_of_a_question_is_never_squeezed(page, log_in, cast, width):
    LoopSettings.objects.create(project=cast.project, queue_level=None)
    policy = make_policy(cast.project, "served-elsewhere", kind=Policy.Kind.ENDPOINT)
    Endpoint.objects.create(
        project=cast.project, policy=policy, url="https://example.org/v1", model="m"
    )
    make_prompt(cast.project)
    log_in(cast.manager)
    page.set_viewport_size({"width": width, "height": 740})
    page.goto("/p/sharpen/completions/")
    button = page.locator("button:has-text('Ask served-elsewhere')")
    lines = button.evaluate("b => b.clientHeight / parseFloat(getComputedStyle(b).lineHeight)")
    assert lines < 3
    button.click()
    page.wait_for_load_state()
    assert Endpoint.objects.get().approved_at is not None
