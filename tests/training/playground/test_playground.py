"""The playground: who may use it, what is asked, what is shown, blind or named."""

from __future__ import annotations

import pytest
from django.urls import reverse

from annotate.models import Completion, Membership, Policy, Prompt
from tests.factories import make_policy
from tests.training.endpoints import stub as does
from tests.training.endpoints.conftest import KEY
from training.demo import MODEL_DIR
from training.jobs.claims import request_cancel
from training.models import Tryout, TryoutAnswer
from training.playground import tryouts
from training.playground.worker import run_answer

pytestmark = pytest.mark.django_db


@pytest.fixture
def base(endpoint) -> Policy:
    return make_policy(
        endpoint.project, "here", kind=Policy.Kind.BASE, base_model=str(MODEL_DIR), state="champion"
    )


@pytest.fixture
def manager(cast, endpoint, client_of):
    Membership.objects.create(
        project=endpoint.project, user=cast.manager, role=Membership.Role.MANAGER
    )
    return client_of(cast.manager)


def ask(cast, endpoint, *policies, blind=False, **fields) -> Tryout:
    return tryouts.ask(
        project=endpoint.project,
        asked_by=cast.manager,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        policies=policies or (endpoint.policy, endpoint.policy),
        blind=blind,
        **fields,
    )


def answer_of(tryout, side="a") -> TryoutAnswer:
    return tryout.answers.get(side=side)


def page(tryout, name="tryout"):
    return reverse(name, args=[tryout.project.slug, tryout.pk])


def form(endpoint, **changes):
    pk = endpoint.policy_id
    return {"question": "Why?", "system": "", "first": pk, "second": pk, **changes}


def test_raters_are_refused_and_strangers_find_nothing(cast, client_of):
    url = reverse("playground", args=["sharpen"])
    assert client_of(cast.rater).get(url).status_code == 403
    assert client_of(cast.stranger).get(url).status_code == 404
    assert "No policy to ask yet" in client_of(cast.manager).get(url).text


def test_another_projects_tryout_is_not_found(cast, endpoint, client_of):
    made = ask(cast, endpoint)
    for name in ("tryout", "tryout_live"):
        url = reverse(name, args=["sharpen", made.pk])
        assert client_of(cast.manager).get(url).status_code == 404


def test_both_policies_are_asked_what_was_typed(manager, endpoint, base):
    url = reverse("playground", args=[endpoint.project.slug])
    posted = form(endpoint, question="Why\r\nnot?", system="Be kind.", second=base.pk)
    response = manager.post(url, posted)
    made = Tryout.objects.get()
    assert response["Location"] == made.get_absolute_url()
    assert made.messages == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Why\nnot?"},
    ]
    assert [(answer.policy.slug, answer.is_served) for answer in made.answers.all()] == [
        ("served", True),
        ("here", False),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": " "}, "is empty"),
        ({"question": "a\0b"}, "Null characters"),
        ({"first": "0"}, "valid choice"),
    ],
)
def test_what_cannot_be_asked_is_said(manager, endpoint, changes, message):
    url = reverse("playground", args=[endpoint.project.slug])
    assert message in manager.post(url, form(endpoint, **changes)).text
    assert not Tryout.objects.exists()


def test_another_projects_policy_cannot_be_asked(manager, endpoint, cast):
    foreign = make_policy(cast.project, kind=Policy.Kind.BASE)
    url = reverse("playground", args=[endpoint.project.slug])
    assert "valid choice" in manager.post(url, form(endpoint, first=foreign.pk)).text


def test_an_endpoints_answer_streams_into_the_page(manager, cast, endpoint, stub):
    made = ask(cast, endpoint)
    seen = []

    def look() -> bool:
        seen.append(answer_of(made).text)
        return False

    def slowly(handler, body):
        handler.begin_stream()
        for word in ("Paris ", "is ", "it."):
            handler.wfile.write(does.chunk(word))
            handler.server.stub.closing.wait(0.6)
        handler.wfile.write(does.chunk("", "stop"))

    stub.script.append(slowly)
    run_answer(answer_of(made).pk, stopping=look)
    answer = answer_of(made)
    assert (answer.state, answer.text, answer.finish_reason, answer.token_count) == (
        *("succeeded", "Paris is it.", "stop"),
        3,
    )
    assert "Paris is it.".startswith(tuple(seen))
    assert any(0 < len(text) < len("Paris is it.") for text in seen)
    assert all("Paris is it.".startswith(text) for text in seen)
    assert stub.asked()[0].body["stream_options"] == {"include_usage": True}
    endpoint.refresh_from_db()
    assert (endpoint.prompt_tokens, endpoint.completion_tokens) == (7, 3)
    assert not Completion.objects.exists()


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (does.tells_the_key(401), "refuses the key (401)"),
        (does.fails(503), "has a fault (503)"),
        (does.endless, "larger than"),
        (does.web_page, "before it was whole"),
        (does.drops, "127.0.0.1"),
        (does.redirects("http://example.org"), "not followed"),
    ],
)
def test_trouble_is_told_and_what_came_is_kept(manager, cast, endpoint, stub, trouble, message):
    made = ask(cast, endpoint)
    stub.script.append(trouble)
    run_answer(answer_of(made).pk)
    assert answer_of(made).state == "failed"
    assert message in answer_of(made).error
    assert KEY not in manager.get(page(made)).text


def test_a_key_in_the_answer_is_hidden_even_in_pieces(cast, endpoint, stub):
    made = ask(cast, endpoint)

    def tell(handler, body):
        handler.begin_stream()
        for part in ("It is ", KEY[:7], KEY[7:], "."):
            handler.wfile.write(does.chunk(part))
        handler.wfile.write(does.chunk("", "stop"))

    stub.script.append(tell)
    run_answer(answer_of(made).pk)
    assert answer_of(made).text == "It is •••."


def test_stopping_keeps_what_came(manager, cast, endpoint, stub):
    made = ask(cast, endpoint)

    def hang(handler, body):
        handler.begin_stream()
        handler.wfile.write(does.chunk("So far"))
        handler.server.stub.closing.wait(60)

    stub.script.append(hang)

    def stop_when_begun() -> bool:
        if answer_of(made).text:
            request_cancel(job=answer_of(made))
        return False

    run_answer(answer_of(made).pk, stopping=stop_when_begun)
    assert (answer_of(made).state, answer_of(made).text) == ("cancelled", "So far")
    manager.post(page(made, "stop_tryout"))
    assert answer_of(made, "b").state == "cancelled"


def test_the_page_polls_until_both_have_ended(manager, cast, endpoint, stub):
    made = ask(cast, endpoint)
    text = manager.get(page(made)).text
    assert 'hx-trigger="every' in text
    assert "Check again" in text
    assert manager.get(page(made, "tryout_live")).status_code == 200
    for side in "ab":
        run_answer(answer_of(made, side).pk)
    last = manager.get(page(made, "tryout_live"))
    assert last.status_code == 286
    assert "hx-trigger" not in last.text
    assert "Answer to What is the capital" in last.text


def test_a_blind_page_names_nobody_until_asked(manager, cast, endpoint, base, stub):
    made = ask(cast, endpoint, endpoint.policy, base, blind=True)
    stub.script.append(does.fails(401, "served"))
    run_answer(made.answers.get(policy=endpoint.policy).pk)
    fragment = manager.get(page(made, "tryout_live")).text
    for trace in ("served", "here", "endpoint", "401"):
        assert trace not in fragment.replace("playground", "").replace("tryout", ""), trace
    manager.post(page(made, "reveal_tryout"))
    assert "refuses the key (401)" in manager.get(page(made, "tryout_live")).text


def test_blind_sides_are_drawn(cast, endpoint, base):
    first = {
        answer_of(ask(cast, endpoint, endpoint.policy, base, blind=True)).policy_id
        for _ in range(30)
    }
    assert first == {endpoint.policy_id, base.pk}
    named = ask(cast, endpoint, endpoint.policy, base)
    assert answer_of(named).policy_id == endpoint.policy_id


def test_model_text_is_made_safe(manager, cast, endpoint):
    made = ask(cast, endpoint)
    made.answers.update(state="running", text="<script>alert(1)</script><img src=x>")
    text = manager.get(page(made)).text
    assert "<script>alert" not in text
    assert "<img" not in text


def test_the_prompt_goes_into_the_project_once(manager, cast, endpoint):
    made = ask(cast, endpoint)
    assert "is in the project" in manager.post(page(made, "keep_tryout"), follow=True).text
    prompt = Prompt.objects.get(project=endpoint.project)
    assert (prompt.messages, prompt.source) == (made.messages, "playground")
    assert "has this prompt already" in manager.post(page(made, "keep_tryout"), follow=True).text


@pytest.mark.slow
@pytest.mark.stack
def test_the_engine_answers_for_a_local_policy(manager, cast, endpoint, base):
    made = ask(cast, endpoint, base, base)
    answer = answer_of(made)
    run_answer(answer.pk)
    answer.refresh_from_db()
    assert (answer.state, answer.error) == ("succeeded", "")
    assert answer.text.strip()
    assert answer.token_count
    assert answer.text.split()[0] in manager.get(page(made)).text
