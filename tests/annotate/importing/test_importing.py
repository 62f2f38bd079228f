"""A file is imported completely, only once, or not at all."""

import io
import json

import pytest

from annotate.content.prompts import splits_off
from annotate.importing import (
    FileKind,
    ImportRefused,
    import_completions,
    import_file,
    import_pairs,
    import_prompts,
)
from annotate.importing.completions import slug_of
from annotate.importing.pairs import PAIRS_POLICY
from annotate.models import Comparison, Completion, Judgement, Policy, PreferencePair, Prompt
from tests.factories import make_policy, make_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project()


def jsonl(*records):
    return io.BytesIO(b"".join(json.dumps(record).encode() + b"\n" for record in records))


def answer(text, prompt="Hello", model="m", **fields):
    return {"prompt": prompt, "completion": text, "model": model, **fields}


def pair(chosen, rejected, prompt="Hello", **fields):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **fields}


def everything():
    return [
        table.objects.count() for table in (Prompt, Policy, Completion, Comparison, PreferencePair)
    ]


# --- all or nothing ---


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        (FileKind.PROMPTS, {"prompt": "Hello"}),
        (FileKind.COMPLETIONS, answer("Hi.")),
        (FileKind.PAIRS, pair("Hi.", "Go")),
    ],
)
def test_one_bad_line_keeps_everything_out(project, kind, good):
    with pytest.raises(ImportRefused) as caught:
        import_file(project=project, kind=kind, file=jsonl(good, {"prompt": 7}, good, {}))
    assert [line.number for line in caught.value.lines] == [2, 4]
    assert caught.value.lines[0].field == (
        "completion"
        if kind == FileKind.COMPLETIONS
        else "chosen"
        if kind == FileKind.PAIRS
        else "prompt"
    )
    assert everything() == [0, 0, 0, 0, 0]


def test_a_conflict_found_while_storing_takes_everything_back(project):
    import_completions(project=project, file=jsonl(answer("Hi.", seed=3)))
    before = everything()
    with pytest.raises(ImportRefused) as caught:
        import_completions(
            project=project, file=jsonl(answer("New", prompt="Bye"), answer("Ho.", seed=3))
        )
    assert [(line.number, line.field) for line in caught.value.lines] == [(2, "seed")]
    assert everything() == before


# --- prompts ---


def test_prompts_are_counted_as_new_and_present(project):
    import_prompts(project=project, file=jsonl({"prompt": "One?"}))
    report = import_prompts(
        project=project, file=jsonl(*({"prompt": p} for p in ("One?", "Two?", "Two? ")))
    )
    assert (report.lines, report.new, report.present) == (3, 1, 2)


def test_prompts_keep_source_and_are_held_out_by_digest(project):
    records = [{"prompt": f"Question {number}?"} for number in range(100)]
    report = import_prompts(project=project, file=jsonl(*records), source="questions.jsonl")
    prompts = list(Prompt.objects.all())
    assert {prompt.source for prompt in prompts} == {"questions.jsonl"}
    assert report.held_out == sum(prompt.is_held_out for prompt in prompts) > 0
    assert all(p.is_held_out == splits_off(p.messages, project) for p in prompts)


def test_report_in_words(project):
    report = import_prompts(project=project, file=jsonl({"turns": ["One?", "Two?"]}))
    assert report.sentences() == [
        "1 prompt imported, 0 already there.",
        f"1 new prompt, of which {report.held_out} held out from training.",
        "1 prompt had several turns: the first became the prompt, "
        "the later ones are stored in its details.",
    ]


# --- completions ---


def test_every_model_is_a_policy(project):
    import_completions(project=project, file=jsonl(answer("a", model="org/M-1.5"), answer("b")))
    policies = Policy.objects.order_by("slug").values_list("slug", "kind", "base_model")
    assert list(policies) == [("m", "import", "m"), ("org-m-1-5", "import", "org/M-1.5")]


def test_the_policy_may_be_named(project):
    record = answer("a")
    del record["model"]
    import_completions(project=project, file=jsonl(record, answer("b")), policy_slug="mine")
    (policy,) = Policy.objects.all()
    assert (policy.slug, policy.base_model) == ("mine", "m")


@pytest.mark.parametrize(
    ("records", "policy_slug", "reason"),
    [
        ([answer("a", model="")], None, "missing"),
        ([answer("a", model="…")], None, "no letters or digits"),
        ([answer("a", model="a.b"), answer("a", model="a-b")], None, "would join “a.b”"),
        ([answer("a", model="x"), answer("a", model="y")], "mine", "would join “x”"),
        ([answer("a", model="base")], None, "not an import"),
    ],
)
def test_models_that_make_no_policy_of_their_own_are_refused(project, records, policy_slug, reason):
    make_policy(project, "base", kind=Policy.Kind.BASE)
    with pytest.raises(ImportRefused, match=reason):
        import_completions(project=project, file=jsonl(*records), policy_slug=policy_slug)


def test_repeats_count_up_their_seeds(project):
    greedy = answer("a", sampling={"temperature": 0})
    import_completions(project=project, file=jsonl(answer("a"), answer("b"), greedy, answer("a")))
    rows = Completion.objects.order_by("pk").values_list("text", "seed", "sampling")
    assert list(rows) == [
        ("a", 0, {}),
        ("b", 1, {}),
        ("a", 0, {"temperature": 0}),
        ("a", 2, {}),
    ]


def test_the_same_file_again_adds_nothing(project):
    records = [answer("a"), answer("a"), answer("b"), answer("c", seed=9)]
    first = import_completions(project=project, file=jsonl(*records))
    again = import_completions(project=project, file=jsonl(*records))
    assert (first.new, again.new, again.present) == (4, 0, 4)


def test_further_draws_of_a_model_are_added(project):
    import_completions(project=project, file=jsonl(answer("a"), answer("b")))
    report = import_completions(project=project, file=jsonl(answer("b"), answer("c")))
    assert (report.new, report.present) == (1, 1)
    assert Completion.objects.get(text="c").seed == 2


def test_given_seeds_are_kept_and_counted_ones_go_around_them(project):
    import_completions(project=project, file=jsonl(answer("a"), answer("b", seed=0)))
    assert dict(Completion.objects.values_list("text", "seed")) == {"a": 1, "b": 0}


def test_repeats_across_batches_are_counted_on(project, monkeypatch):
    monkeypatch.setattr("annotate.importing.staging.BATCH", 2)
    records = [answer("a") for _ in range(5)]
    assert import_completions(project=project, file=jsonl(*records)).new == 5
    assert import_completions(project=project, file=jsonl(*records)).new == 0
    assert set(Completion.objects.values_list("seed", flat=True)) == set(range(5))


def test_imported_completions_meet(project):
    report = import_file(
        project=project,
        kind=FileKind.COMPLETIONS,
        file=jsonl(answer("a", model="x"), answer("b", model="y")),
    )
    assert report.comparisons == 1
    comparison = Comparison.objects.get()
    assert {comparison.a.text, comparison.b.text} == {"a", "b"}


# --- pairs ---


def test_a_pair_is_settled_without_a_judgement(project):
    import_pairs(project=project, file=jsonl(pair("Hi.", "Go", weight=0.5)))
    row = PreferencePair.objects.get()
    assert (row.chosen.text, row.rejected.text, row.weight, row.agreement) == ("Hi.", "Go", 0.5, 1)
    comparison = row.comparison
    assert (comparison.state, comparison.result, comparison.purpose) == (
        "settled",
        "pair",
        "normal",
    )
    assert {comparison.a_id, comparison.b_id} == {row.chosen_id, row.rejected_id}
    assert comparison.settled_at is not None
    assert Judgement.objects.count() == 0


def test_the_better_answer_is_on_either_side(project):
    records = [pair("Hi.", "Go", prompt=f"Question {number}?") for number in range(64)]
    import_pairs(project=project, file=jsonl(*records))
    rows = PreferencePair.objects.select_related("comparison")
    assert len({row.chosen_id == row.comparison.a_id for row in rows}) == 2


def test_pairs_have_a_policy_that_is_not_in_the_pool(project):
    import_pairs(project=project, file=jsonl(pair("Hi.", "Go")))
    policy = Policy.objects.get()
    assert (policy.slug, policy.kind, policy.is_in_pool) == (PAIRS_POLICY, "import", False)


def test_a_pair_twice_is_one(project):
    import_pairs(project=project, file=jsonl(pair("Hi.", "Go")))
    report = import_pairs(project=project, file=jsonl(pair("Hi.", "Go"), pair("Hi.", "Go")))
    assert (report.new, report.present) == (0, 2)
    assert PreferencePair.objects.count() == 1


def test_an_answer_in_several_pairs_is_stored_once(project):
    import_pairs(project=project, file=jsonl(pair("Hi.", "Go"), pair("Hi.", "What?")))
    assert (PreferencePair.objects.count(), Completion.objects.count()) == (2, 3)


def test_people_may_disagree(project):
    report = import_pairs(project=project, file=jsonl(pair("Hi.", "Go"), pair("Go", "Hi.")))
    assert report.new == 2
    assert Comparison.objects.count() == 2


def test_the_policy_of_pairs_must_be_an_import(project):
    make_policy(project, PAIRS_POLICY, kind=Policy.Kind.BASE)
    with pytest.raises(ImportRefused, match="not an import"):
        import_pairs(project=project, file=jsonl(pair("Hi.", "Go")))


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        ("pythia-3b-deduped-sft", "pythia-3b-deduped-sft"),
        ("org/Model-1.5B", "org-model-1-5b"),
        ("Ünïcode Model", "unicode-model"),
        ("x" * 100, "x" * 80),
        ("…", ""),
    ],
)
def test_slugs_of_models(model, slug):
    assert slug_of(model) == slug
