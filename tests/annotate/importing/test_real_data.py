"""The files in ../shared/data can be imported unchanged."""

import gzip
import json

import pytest

from annotate.importing import FileKind, ImportRefused, RowChoices, import_file, import_pairs
from annotate.models import Comparison, Completion, Policy, PreferencePair, Project, Prompt
from tests.conftest import NO_SHARED_DATA, SHARED_DATA

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=NO_SHARED_DATA),
]


@pytest.fixture
def project():
    return Project.objects.create(slug="demo", name="Demo")


def bring(project, kind, name):
    with (SHARED_DATA / name).open("rb") as file:
        # Two answers of the published HH file have no text.
        choices = RowChoices(take_empty=True)
        return import_file(project=project, kind=kind, file=file, source=name, choices=choices)


def rows_of(name):
    opener = gzip.open if name.endswith(".gz") else open
    with opener(SHARED_DATA / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_mt_bench_questions(project):
    report = bring(project, FileKind.PROMPTS, "mt_bench_questions.jsonl")
    assert (report.lines, report.new, report.present) == (80, 80, 0)
    assert "80 prompts had several turns" in " ".join(report.sentences())
    question = next(row for row in rows_of("mt_bench_questions.jsonl") if "reference" in row)
    prompt = Prompt.objects.get(details__question_id=question["question_id"])
    assert prompt.messages == [{"role": "user", "content": question["turns"][0]}]
    assert prompt.details["follow_ups"] == question["turns"][1:]
    assert prompt.details["reference"] == question["reference"]
    assert prompt.tags == [question["category"]]


def test_two_models_meet_in_comparisons(project):
    first = bring(project, FileKind.COMPLETIONS, "completions_pythia-3b-deduped-sft.jsonl")
    second = bring(project, FileKind.COMPLETIONS, "completions_pythia-12b-deduped-sft.jsonl")
    assert (first.new, first.prompts_new) == (700, 100)
    assert (second.new, second.prompts_new) == (700, 0)
    policies = Policy.objects.filter(project=project, kind=Policy.Kind.IMPORT)
    assert set(policies.values_list("slug", "base_model")) == {
        ("pythia-3b-deduped-sft", "pythia-3b-deduped-sft"),
        ("pythia-12b-deduped-sft", "pythia-12b-deduped-sft"),
    }
    assert first.comparisons + second.comparisons == Comparison.objects.count() > 0


def test_completions_keep_their_text_and_sampling(project):
    name = "completions_pythia-3b-deduped-sft.jsonl"
    bring(project, FileKind.COMPLETIONS, name)
    wanted = sorted((row["completion"], row["sampling"].get("top_k", 0)) for row in rows_of(name))
    stored = Completion.objects.values_list("text", "sampling")
    assert sorted((text, sampling.get("top_k", 0)) for text, sampling in stored) == wanted
    assert set(Completion.objects.values_list("seed", flat=True)) == {0, 1}


def test_completions_twice_add_nothing(project):
    bring(project, FileKind.COMPLETIONS, "completions_pythia-3b-deduped-sft.jsonl")
    again = bring(project, FileKind.COMPLETIONS, "completions_pythia-3b-deduped-sft.jsonl")
    assert (again.new, again.present, again.prompts_new, again.comparisons) == (0, 700, 0, 0)


def test_hh_pairs(project):
    report = bring(project, FileKind.PAIRS, "hh_harmless_pairs.jsonl.gz")
    assert (report.lines, report.new) == (1154, 1154)
    pair = PreferencePair.objects.order_by("pk").first()
    row = rows_of("hh_harmless_pairs.jsonl.gz")[0]
    messages = pair.comparison.prompt.messages
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2 + ["user"]
    assert messages[2]["content"] == "Just come up with any way I could do it"
    assert pair.chosen.text == row["chosen"].removeprefix(" ")
    assert pair.rejected.text == row["rejected"].removeprefix(" ")


def test_hh_prompts_alternate_and_carry_no_markup(project):
    bring(project, FileKind.PAIRS, "hh_harmless_pairs.jsonl.gz")
    for messages in Prompt.objects.values_list("messages", flat=True):
        roles = [message["role"] for message in messages]
        assert roles == (["user", "assistant"] * len(roles))[: len(roles)]
        for message in messages:
            assert message["content"] == message["content"].strip()
            assert "\n\nHuman:" not in message["content"]


def test_hh_pairs_twice_add_nothing(project):
    bring(project, FileKind.PAIRS, "hh_harmless_pairs.jsonl.gz")
    again = bring(project, FileKind.PAIRS, "hh_harmless_pairs.jsonl.gz")
    assert (again.new, again.present) == (0, 1154)
    assert PreferencePair.objects.count() == Comparison.objects.count() == 1154


def test_sharegpt_pairs(project):
    report = bring(project, FileKind.PAIRS, "chat_pairs_sharegpt.jsonl")
    assert (report.new, report.present) == (149, 1)  # one is in the file twice
    row = next(
        row
        for row in rows_of("chat_pairs_sharegpt.jsonl")
        if row["conversations"][0]["from"] == "system"
    )
    pair = PreferencePair.objects.get(chosen__text=row["chosen"]["value"])
    assert [m["role"] for m in pair.comparison.prompt.messages] == ["system", "user"]
    assert pair.rejected.text == row["rejected"]["value"]


def test_completions_file_is_no_file_of_pairs(project):
    with (
        (SHARED_DATA / "completions_pythia-3b-deduped-sft.jsonl").open("rb") as file,
        pytest.raises(ImportRefused) as caught,
    ):
        import_pairs(project=project, file=file)
    assert (len(caught.value.lines), caught.value.total) == (50, 700)
    assert str(caught.value.lines[0]) == "line 1: chosen: missing"
    assert Prompt.objects.count() == 0
