"""The managers' pages for endpoints: who sees them, what they store, what they show."""

import pytest
from django.urls import reverse

from annotate.models import Membership, Policy
from tests.factories import make_completion, make_prompt
from tests.training.endpoints import stub as does
from tests.training.endpoints.conftest import KEY
from tests.training.endpoints.stub import running_stub
from training.endpoints.guard import origin_of
from training.endpoints.keys import unseal
from training.models import Endpoint

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager(cast, endpoint, client_of):
    Membership.objects.create(
        project=endpoint.project, user=cast.manager, role=Membership.Role.MANAGER
    )
    return client_of(cast.manager)


def fields(endpoint, **changes):
    return {
        "name": "other",
        "url": endpoint.url,
        "model": "stub-model",
        "concurrency": "4",
        "timeout_seconds": "60",
        "length_parameter": "max_tokens",
        "sends_temperature": "on",
        "price_prompt": "0.5",
        "price_completion": "1.5",
        "currency": "EUR",
        **changes,
    }


def page(endpoint, name="endpoint"):
    return reverse(name, args=[endpoint.project.slug, endpoint.pk])


@pytest.mark.parametrize("name", ["endpoints", "new_endpoint"])
def test_raters_are_refused_and_strangers_find_nothing(name, cast, client_of):
    url = reverse(name, args=["sharpen"])
    assert client_of(cast.rater).get(url).status_code == 403
    assert client_of(cast.stranger).get(url).status_code == 404


def test_another_projects_endpoint_is_not_found(cast, endpoint, client_of):
    for name in ("endpoint", "try_endpoint"):
        url = reverse(name, args=["sharpen", endpoint.pk])
        assert client_of(cast.manager).post(url).status_code == 404


def test_a_new_endpoint_is_a_policy_in_the_pool(manager, endpoint):
    url = reverse("new_endpoint", args=[endpoint.project.slug])
    response = manager.post(url, fields(endpoint, key=KEY, stop_texts="###\n\nUser:"))
    made = Endpoint.objects.get(policy__slug="other")
    assert response["Location"] == page(made)
    assert (made.policy.kind, made.policy.state) == (Policy.Kind.ENDPOINT, Policy.State.ACTIVE)
    assert (made.sent, made.stop, made.currency) == (["temperature"], ["###", "User:"], "EUR")
    assert unseal(made.key_sealed, origin_of(made.url)).value == KEY


def test_the_key_is_shown_on_no_page(manager, endpoint):
    answers = [
        manager.get(page(endpoint)),
        manager.get(reverse("endpoints", args=[endpoint.project.slug])),
        manager.post(page(endpoint), fields(endpoint, key=KEY + "-new", url="no")),
        manager.post(page(endpoint), fields(endpoint, key=KEY + "-new"), follow=True),
    ]
    for answer in answers:
        assert KEY not in answer.text
        assert endpoint.key_sealed not in answer.text


def test_an_empty_field_keeps_the_key_and_a_tick_forgets_it(manager, endpoint):
    manager.post(page(endpoint), fields(endpoint))
    sealed_key = endpoint.key_sealed
    endpoint.refresh_from_db()
    assert endpoint.key_sealed == sealed_key
    manager.post(page(endpoint), fields(endpoint, remove_key="on"))
    endpoint.refresh_from_db()
    assert endpoint.key_sealed == ""


def test_a_new_host_erases_the_key_unless_it_brings_its_own(manager, endpoint):
    with running_stub() as other:
        answer = manager.post(page(endpoint), fields(endpoint, url=other.url), follow=True)
        assert "was deleted" in answer.text
        endpoint.refresh_from_db()
        assert endpoint.key_sealed == ""
        manager.post(page(endpoint), fields(endpoint, key="sk-of-the-other"))
        endpoint.refresh_from_db()
        assert unseal(endpoint.key_sealed, origin_of(other.url)).value == "sk-of-the-other"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "http://169.254.169.254/latest"}, "WHETSTONE_ENDPOINT_HOSTS"),
        ({"url": "https://user:word@127.0.0.1"}, "Leave name and password out"),
        ({"url": "file:///etc/passwd"}, "begins with https://"),
        ({"concurrency": "0"}, "greater than or equal to 1"),
        ({"key": "two words"}, "letters, digits and signs"),
        ({"stop_texts": "a\nb\nc\nd\ne"}, "Four at most"),
    ],
)
def test_what_does_not_fit_is_said_beside_its_field(manager, endpoint, change, message):
    answer = manager.post(page(endpoint), fields(endpoint, **change))
    assert answer.status_code == 200
    assert message in answer.text
    assert "Nothing was saved yet" in answer.text


def test_a_name_that_is_taken_is_refused(manager, endpoint):
    url = reverse("new_endpoint", args=[endpoint.project.slug])
    assert "has this name already" in manager.post(url, fields(endpoint, name="served")).text


def test_the_model_stays_once_it_has_written(manager, endpoint):
    manager.post(page(endpoint), fields(endpoint, model="another"))
    endpoint.refresh_from_db()
    assert endpoint.model == "another"
    make_completion(make_prompt(endpoint.project), endpoint.policy)
    manager.post(page(endpoint), fields(endpoint, model="a third"))
    endpoint.refresh_from_db()
    assert endpoint.model == "another"


def test_counted_tokens_are_not_written_back_by_a_form(manager, endpoint):
    stale = Endpoint.objects.get(pk=endpoint.pk)
    Endpoint.objects.filter(pk=endpoint.pk).update(prompt_tokens=5)
    from training.endpoints.editing import save_endpoint

    save_endpoint(project=stale.project, endpoint=stale, name="served")
    endpoint.refresh_from_db()
    assert endpoint.prompt_tokens == 5


def test_trying_out_says_what_came(manager, endpoint, stub):
    stub.script.append(does.says("Hello <b>there</b>."))
    answer = manager.post(page(endpoint, "try_endpoint"), follow=True).text
    assert "Hello &lt;b&gt;there&lt;/b&gt;." in answer
    assert stub.asked()[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (does.tells_the_key(401), "refuses the key (401)"),
        (does.fails(404), "It knows: stub-model."),
        (does.fails(500, "out of memory"), "out of memory"),
        (does.malformed, "is not JSON"),
        (does.redirects("http://example.org/"), "is not followed"),
        (does.oversized, "larger than"),
        (does.drops, "broke the connection off"),
    ],
)
def test_trying_out_says_what_went_wrong(manager, endpoint, stub, trouble, message):
    stub.script.append(trouble)
    answer = manager.post(page(endpoint, "try_endpoint"), follow=True).text
    assert message in answer
    assert KEY not in answer


def test_a_host_that_is_listed_no_more_is_not_asked(manager, endpoint, stub, settings):
    settings.ENDPOINT_HOSTS = ["api.example.org"]
    answer = manager.post(page(endpoint, "try_endpoint"), follow=True).text
    assert "WHETSTONE_ENDPOINT_HOSTS" in answer
    assert stub.requests == []
