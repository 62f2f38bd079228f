"""Pairs go out as bytes that TRL takes."""

import hashlib
import json

import pytest

from annotate.content.export import ROWS_AT_ONCE, json_line, pair_lines, pairs_of
from annotate.models import Comparison, Completion, PreferencePair
from tests.factories import make_comparison, make_completion, make_policy, make_project, make_prompt

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project()


def make_pair(project, *, chosen="Paris.", rejected="I do not know.", prompt=None, **fields):
    prompt = prompt or make_prompt(project)
    policy = make_policy(project)
    a, b = make_completion(prompt, policy, chosen), make_completion(prompt, policy, rejected)
    comparison = make_comparison(
        project,
        prompt=prompt,
        a=a,
        b=b,
        state=Comparison.State.SETTLED,
        result=Comparison.Result.PAIR,
    )
    values = {"weight": 1.0, "agreement": 1.0, **fields}
    return PreferencePair.objects.create(comparison=comparison, chosen=a, rejected=b, **values)


def exported(project):
    return [json.loads(line) for line in pair_lines(pairs_of(project))]


def test_a_line_in_full(project):
    prompt = make_prompt(project, "Capital of France?", held_out=False)
    pair = make_pair(project, prompt=prompt, weight=0.5, agreement=0.75)
    (line,) = pair_lines(pairs_of(project))
    assert (
        line
        == (
            '{"prompt": [{"role": "user", "content": "Capital of France?"}], '
            '"chosen": [{"role": "assistant", "content": "Paris."}], '
            '"rejected": [{"role": "assistant", "content": "I do not know."}], '
            f'"id": {pair.pk}, "weight": 0.5, "agreement": 0.75, "split": "train"}}\n'
        ).encode()
    )


def test_held_out_prompts_are_marked(project):
    make_pair(project, prompt=make_prompt(project, held_out=True))
    assert exported(project)[0]["split"] == "held_out"


def test_pairs_come_in_the_order_of_their_ids(project):
    ids = [make_pair(project).pk for _ in range(5)]
    lines = pair_lines(PreferencePair.objects.order_by("-pk"))
    assert [json.loads(line)["id"] for line in lines] == ids


def test_other_projects_stay_out(project):
    make_pair(make_project())
    assert exported(project) == []


@pytest.mark.parametrize(
    "text", [" two\nlines\r\n", "naïve 👍 \u2028 \u202e", '"quoted" \\ </script>', "=1+1", "", "␀"]
)
def test_text_goes_out_byte_for_byte(project, text):
    make_pair(project)
    Completion.objects.filter(text="Paris.").update(text=text)
    assert exported(project)[0]["chosen"][0]["content"] == text


def test_a_line_is_one_line(project):
    make_pair(project, chosen="a\nb\r\nc")
    (line,) = pair_lines(pairs_of(project))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert b"\r" not in line


def test_half_a_surrogate_pair_becomes_the_replacement_character():
    assert json_line({"a": "x\ud800y"}) == '{"a": "x\ufffdy"}\n'.encode()


def test_a_number_that_is_none_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        json_line({"a": float("nan")})


def test_same_pairs_same_bytes(project):
    for _ in range(3):
        make_pair(project)
    first, second = (
        hashlib.sha256(b"".join(pair_lines(pairs_of(project)))).hexdigest() for _ in range(2)
    )
    assert first == second


def test_one_query_however_many_pairs(project, django_assert_num_queries):
    for _ in range(10):
        make_pair(project)
    with django_assert_num_queries(1):
        assert len(list(pair_lines(pairs_of(project)))) == 10
    assert ROWS_AT_ONCE >= 10
