"""The commands that import files and export pairs."""

import gzip
import json

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line

from annotate.models import Completion, Policy, PreferencePair, Prompt
from tests.factories import make_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project("sharpen")


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_prompts_come_in(project, tmp_path, capsys):
    file = write(tmp_path / "p.jsonl", {"prompt": "One?"}, {"prompt": "Two?"})
    call_command("import_prompts", "--project", "sharpen", str(file))
    assert "2 prompts imported, 0 already there." in capsys.readouterr().out
    assert Prompt.objects.filter(project=project, source="p.jsonl").count() == 2


def test_completions_come_in_under_a_named_policy(project, tmp_path):
    file = write(tmp_path / "c.jsonl", {"prompt": "One?", "completion": "1"})
    call_command("import_completions", "--project", "sharpen", "--policy", "mine", str(file))
    assert Policy.objects.get().slug == "mine"
    assert Completion.objects.get().text == "1"


def test_gzipped_pairs_come_in(project, tmp_path):
    file = tmp_path / "pairs.jsonl.gz"
    line = json.dumps({"prompt": "One?", "chosen": "1", "rejected": "2"})
    file.write_bytes(gzip.compress(line.encode()))
    call_command("import_pairs", "--project", "sharpen", str(file))
    assert PreferencePair.objects.get().chosen.text == "1"


def test_bad_lines_are_printed(project, tmp_path):
    file = write(tmp_path / "p.jsonl", {"prompt": "One?"}, {"prompt": ""}, [1])
    with pytest.raises(CommandError) as caught:
        call_command("import_prompts", "--project", "sharpen", str(file))
    assert str(caught.value).splitlines() == [
        "Nothing was imported: 2 bad lines.",
        "line 2: prompt: is empty",
        "line 3: must be one JSON object, with its keys in { }",
    ]
    assert caught.value.returncode == 1


@pytest.mark.parametrize("command", ["import_prompts", "import_completions", "import_pairs"])
def test_an_unknown_project_is_named_beside_the_known(project, tmp_path, command):
    file = write(tmp_path / "p.jsonl", {"prompt": "One?"})
    with pytest.raises(CommandError, match=r"no project 'blunt'\. Projects: sharpen\."):
        call_command(command, "--project", "blunt", str(file))


def test_a_missing_file_is_said_to_be_missing(project, tmp_path):
    with pytest.raises(CommandError, match=r"none\.jsonl cannot be read: No such file"):
        call_command("import_prompts", "--project", "sharpen", str(tmp_path / "none.jsonl"))


def test_a_policy_must_be_a_slug(project, tmp_path):
    file = write(tmp_path / "c.jsonl", {"prompt": "One?", "completion": "1"})
    with pytest.raises(CommandError, match="letters, digits"):
        call_command("import_completions", "--project", "sharpen", "--policy=a b", str(file))


def test_pairs_go_out_and_come_back_the_same(project, tmp_path, capsys):
    records = [
        {"prompt": "One?", "chosen": "1 ü\u2028", "rejected": "", "weight": 0.25},
        {"prompt": "Two?", "chosen": " 2\n", "rejected": "3"},
    ]
    file = str(write(tmp_path / "in.jsonl", *records))
    call_command("import_pairs", "--project", "sharpen", "--take-empty", file)
    out = tmp_path / "out.jsonl"
    call_command("export_pairs", "--project", "sharpen", "--out", str(out))
    assert f"2 pairs in {out}." in capsys.readouterr().out
    make_project("copy")
    call_command("import_pairs", "--project", "copy", "--take-empty", str(out))
    copy = tmp_path / "copy.jsonl"
    call_command("export_pairs", "--project", "copy", "--out", str(copy))

    def lines(path):
        pairs = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
        return [{key: value for key, value in line.items() if key != "id"} for line in pairs]

    assert lines(out) == lines(copy)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_place_that_cannot_be_written_is_said_to_be_so(project, tmp_path):
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("export_pairs", "--project", "sharpen", "--out", str(tmp_path / "no" / "f"))


@pytest.mark.django_db(transaction=True)
def test_export_to_standard_output_is_pairs_alone(project, tmp_path, capfdbinary):
    file = write(tmp_path / "in.jsonl", {"prompt": "One?", "chosen": "ü", "rejected": "b"})
    call_command("import_pairs", "--project", "sharpen", str(file))
    capfdbinary.readouterr()
    call_command("export_pairs", "--project", "sharpen", "--out", "-")
    (line,) = capfdbinary.readouterr().out.splitlines()
    assert json.loads(line)["chosen"] == [{"role": "assistant", "content": "ü"}]


@pytest.mark.django_db(transaction=True)  # a command closes its connection
def test_a_refusal_ends_with_status_one(capsys):
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", "import_prompts", "--project", "none", "x.jsonl"])
    assert ended.value.code == 1
    message = capsys.readouterr().err
    assert message.endswith("There is no project 'none'. Projects: none yet.\n")
    assert "Traceback" not in message
