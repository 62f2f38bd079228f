"""Files as the field publishes them: read whole, or refused by the name of a field."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.urls import reverse

from annotate.content.prompts import first_turn
from annotate.importing import FileKind, ImportRefused, RowChoices, import_file
from annotate.models import PreferencePair, Prompt
from tests.factories import make_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(db):
    return make_project("cases", held_out_percent=0)


def lines_of(*records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def bring(project, content, kind=FileKind.PAIRS, **chosen):
    choices = RowChoices(**chosen)
    return import_file(project=project, kind=kind, file=io.BytesIO(content), choices=choices)


def refusal(project, content, kind=FileKind.PAIRS):
    with pytest.raises(ImportRefused) as caught:
        bring(project, content, kind)
    assert not Prompt.objects.exists()
    return [(line.number, line.field, line.reason) for line in caught.value.lines]


def chat(*turns):
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]


def pairs():
    rows = PreferencePair.objects.order_by("pk").select_related("comparison__prompt")
    return [(row.comparison.prompt.messages, row.chosen.text, row.rejected.text) for row in rows]


# --- the cases that went wrong ---


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "01-ultrafeedback-binarized.jsonl",
            [(chat("Name three fruits."), "Apple, pear, plum.", "Fruits are tasty.")],
        ),
        (
            "02-orca-dpo.jsonl",
            [
                (
                    [
                        {"role": "system", "content": "You are a careful helper."},
                        *chat("How many legs has a spider?"),
                    ],
                    "Eight.",
                    "Six.",
                ),
                (chat("What is 7 x 6?"), "42", "48"),
            ],
        ),
        (
            "03-alpaca-pref.jsonl",
            [(chat("Translate to German.\n\nGood morning"), "Guten Morgen", "Gute Nacht")],
        ),
        ("04-json-array.json", [(chat("2+2?"), "4", "5"), (chat("3+3?"), "6", "5")]),
        ("18-content-parts.jsonl", [(chat("What is 2+2?"), "4", "5")]),
        (
            "36-code-indent-prompts.jsonl",
            [
                (
                    chat("Is this Python right?\n\nif x:\n    y()\n    z()"),
                    "Both calls are inside the if.",
                    "z() always runs.",
                ),
                (
                    chat("Is this Python right?\n\nif x:\n    y()\nz()"),
                    "z() always runs.",
                    "Both calls are inside the if.",
                ),
            ],
        ),
        (
            "20-developer-role.jsonl",
            [
                (
                    [{"role": "system", "content": "Be brief."}, *chat("Who was Ada?")],
                    "A mathematician.",
                    "Long story.",
                )
            ],
        ),
    ],
)
def test_a_published_shape_is_read(project, shared_data, name, expected):
    bring(project, (shared_data / "cases" / name).read_bytes())
    assert pairs() == expected


@pytest.mark.parametrize(
    ("name", "field", "reason"),
    [
        ("10-kto.jsonl", "chosen", "KTO"),
        ("11-arena-battles.jsonl", "chosen", "arena"),
        ("14b-toolcall-answers.jsonl", "chosen.tool_calls", "would be lost"),
        ("29-openai-preference.jsonl", "chosen", "OpenAI"),
        ("38-tool-calls-with-text.jsonl", "tools", "would be lost"),
        ("39-reasoning-content.jsonl", "chosen.reasoning_content", "would be lost"),
        ("39b-reasoning-only-differs.jsonl", "chosen.reasoning_content", "would be lost"),
        ("40-images.jsonl", "images", "would be lost"),
    ],
)
def test_what_is_not_kept_is_refused_by_its_name(project, shared_data, name, field, reason):
    problems = refusal(project, (shared_data / "cases" / name).read_bytes())
    assert problems[0][:2] == (1, field)
    assert reason in problems[0][2]


def test_what_is_left_out_is_told(project, shared_data):
    content = (shared_data / "cases" / "01-ultrafeedback-binarized.jsonl").read_bytes()
    report = bring(project, content)
    told = " ".join(report.sentences())
    assert "Not taken over" in told
    for name in ("prompt_id (1)", "score_chosen (1)", "score_rejected (1)"):
        assert name in told


def test_the_files_own_split_is_kept(project, shared_data):
    bring(project, (shared_data / "cases" / "41-split-test.jsonl").read_bytes())
    rows = Prompt.objects.order_by("pk").values_list("messages__0__content", "is_held_out")
    assert list(rows) == [("q-train", False), ("q-test", True)]


def test_empty_answers_are_refused_skipped_or_taken(project, shared_data):
    content = (shared_data / "cases" / "22-empty-sides.jsonl").read_bytes()
    assert [row[:2] for row in refusal(project, content)] == [(1, "rejected"), (2, "chosen")]
    report = bring(project, content, skip_bad=True)
    assert (report.new, report.skipped) == (0, 2)
    assert bring(project, content, take_empty=True).new == 2


# --- their kinds ---


@pytest.mark.parametrize("name", ["tool_calls", "tool_call_id", "name", "thinking", "weight"])
def test_no_field_of_a_message_vanishes(project, name):
    said = chat("Hello?")
    said[0][name] = "x"
    ((number, field, _reason),) = refusal(
        project, lines_of({"messages": said}), kind=FileKind.PROMPTS
    )
    assert (number, field) == (1, f"messages[0].{name}")
    said[0][name] = None  # says nothing, so nothing is lost
    assert bring(project, lines_of({"messages": said}), kind=FileKind.PROMPTS).new == 1


def test_parts_of_text_are_joined_and_others_named(project):
    text = [{"type": "text", "text": "One"}, {"type": "text", "text": " two"}]
    asked = {"prompt": [{"role": "user", "content": text}]}
    assert bring(project, lines_of(asked), kind=FileKind.PROMPTS).new == 1
    assert Prompt.objects.get().messages == chat("One two")
    Prompt.objects.all().delete()
    asked["prompt"][0]["content"] = [*text, {"type": "image_url", "image_url": {"url": "x"}}]
    ((_number, field, reason),) = refusal(project, lines_of(asked), kind=FileKind.PROMPTS)
    assert field == "prompt[0].content[2]"
    assert "image_url" in reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"prompt,chosen,rejected\na,b,c\n", "looks like a CSV table"),
        (b"PAR1\x15\x04\x15", "is a Parquet file"),
        (b"PK\x03\x04\x14\x00", "is a ZIP archive"),
        (b"[]", "is empty"),
        (b'[{"prompt": "a"}', "is not JSON"),
        (b'[{"prompt": "a"}] x', "behind the array"),
    ],
)
def test_another_kind_of_file_says_what_it_is(project, content, reason):
    ((_number, _field, found_reason),) = refusal(project, content, kind=FileKind.PROMPTS)
    assert reason in found_reason


def test_a_record_of_an_array_is_named_by_its_line(project):
    content = b'[\n  {"prompt": "a"},\n\n  {"prompt": "b", "prompt": "c"},\n  {"prompt": 1}\n]\n'
    problems = refusal(project, content, kind=FileKind.PROMPTS)
    assert [row[:2] for row in problems] == [(4, "prompt"), (5, "prompt")]


@pytest.mark.parametrize("mark", ["<|im_start|>user\n", "[INST] ", "<start_of_turn>user\n"])
def test_a_rendered_prompt_is_asked_about(project, mark):
    content = lines_of({"prompt": f"{mark}Who was Ada?"})
    ((_number, field, reason),) = refusal(project, content, kind=FileKind.PROMPTS)
    assert field == "prompt"
    assert mark.strip().split("\n")[0].removesuffix("user") in reason
    assert bring(project, content, kind=FileKind.PROMPTS, take_rendered=True).new == 1


@pytest.mark.parametrize(
    ("split", "held_out"),
    [
        ("train", False),
        ("train_sft", False),
        ("test", True),
        ("validation", True),
        ("dev", True),
        ("val", True),
        ("holdout", True),
    ],
)
def test_a_split_is_read_by_its_usual_names(project, split, held_out):
    bring(project, lines_of({"prompt": "a", "split": split}), kind=FileKind.PROMPTS)
    assert Prompt.objects.get().is_held_out is held_out


def test_an_unknown_split_is_refused_and_another_one_is_told(project):
    content = lines_of({"prompt": "a", "split": "x"})
    assert refusal(project, content, kind=FileKind.PROMPTS)[0][1] == "split"
    bring(project, lines_of({"prompt": "a", "split": "train"}), kind=FileKind.PROMPTS)
    report = bring(project, lines_of({"prompt": "a", "split": "test"}), kind=FileKind.PROMPTS)
    assert "1 prompt was there already with the other split" in " ".join(report.sentences())
    assert not Prompt.objects.get().is_held_out


# --- skipping ---

MIXED = lines_of({"prompt": "a"}, {"prompt": ""}, {"prompt": "b"}) + b"no json\n"


def test_skipped_lines_are_kept_as_they_were(cast, client_of):
    client = client_of(cast.manager)
    upload = io.BytesIO(MIXED)
    upload.name = "mixed.jsonl"
    address = reverse("import", args=["sharpen"])
    sent = {"kind": "prompts", "prompts-file": upload, "prompts-skip_bad": "on"}
    page = client.post(address, sent, follow=True)
    assert "2 lines were skipped." in page.content.decode()
    link = page.context["skipped"].name
    skipped_address = reverse("skipped_lines", args=["sharpen", link])
    assert skipped_address in page.content.decode()
    answer = client.get(skipped_address)
    rows = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert [(row["line"], row["field"]) for row in rows] == [(2, "prompt"), (4, "")]
    assert rows[1]["record"] == "no json"
    assert json.loads(rows[0]["record"]) == {"prompt": ""}
    assert client_of(cast.rater).get(skipped_address).status_code == 403
    for name in ("../x", "prompts-1.jsonl"):
        other = skipped_address.replace(link, name)
        assert client.get(other).status_code == 404


def test_the_command_skips_too_and_says_where_the_lines_are(project, tmp_path, capsys):
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(MIXED)
    call_command("import_prompts", "--project", "cases", "--skip-bad", str(file))
    out = capsys.readouterr().out
    assert "2 prompts imported" in out
    path = out.split("The skipped lines are in ")[1].split("\n")[0].removesuffix(".")
    assert len(open(path, encoding="utf-8").readlines()) == 2  # noqa: PTH123, SIM115


def test_what_concerns_the_whole_file_is_not_skipped(project):
    with pytest.raises(ImportRefused, match="is empty"):
        bring(project, b"\n", kind=FileKind.PROMPTS, skip_bad=True)


def test_a_large_share_of_prompts_with_one_first_turn_is_told(project):
    alike = [{"prompt": [*chat("Hello there", "Hi."), *chat(f"Question {n}")]} for n in range(30)]
    report = bring(project, lines_of(*alike), kind=FileKind.PROMPTS)
    assert "30 of the lines begin with the same words" in " ".join(report.sentences())


def test_of_a_published_file_no_first_turn_is_on_both_sides(shared_data):
    project = make_project("hh", held_out_percent=20)
    with (shared_data / "hh_harmless_pairs.jsonl.gz").open("rb") as file:
        bring(project, file.read(), take_empty=True)
    sides = {}
    for messages, held_out in project.prompts.values_list("messages", "is_held_out"):
        sides.setdefault(first_turn(messages), set()).add(held_out)
    assert all(len(side) == 1 for side in sides.values())
    assert 0.1 < project.prompts.filter(is_held_out=True).count() / project.prompts.count() < 0.3


# --- what stands beside an answer ---

ASKED = {"prompt": "a", "completion": "b", "model": "m"}


def test_tags_beside_a_completion_are_kept(project):
    bring(project, lines_of({**ASKED, "tags": ["code"]}), kind=FileKind.COMPLETIONS)
    assert Prompt.objects.get().tags == ["code"]


def test_an_input_without_an_instruction_is_told(project):
    row = {"prompt": "a", "input": "x", "chosen": "b", "rejected": "c"}
    assert "input (1)" in " ".join(bring(project, lines_of(row)).sentences())


def test_a_system_message_beside_whole_conversations_is_kept(project):
    row = {
        "prompt": [{"role": "system", "content": "Be brief."}, *chat("a")],
        "chosen": chat("a", "b"),
        "rejected": chat("a", "c"),
    }
    bring(project, lines_of(row))
    assert pairs() == [(row["prompt"], "b", "c")]


def test_another_conversation_than_the_answers_begin_with_is_refused(project):
    row = {"prompt": chat("x", "y", "a"), "chosen": chat("a", "b"), "rejected": chat("a", "c")}
    assert refusal(project, lines_of(row))[0][1] == "prompt"


@pytest.mark.parametrize("kind", [FileKind.PAIRS, FileKind.COMPLETIONS])
def test_later_turns_beside_an_answer_are_refused(project, kind):
    row = {"turns": ["a", "b"], "completion": "c", "model": "m", "chosen": "c", "rejected": "d"}
    assert refusal(project, lines_of(row), kind)[0][1] == "turns[1]"
