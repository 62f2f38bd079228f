"""The import page and the download: for managers only; bad lines are shown beside the form."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from annotate.importing import import_pairs
from annotate.models import Completion, Policy, PreferencePair, Prompt

pytestmark = pytest.mark.django_db


def upload(*records, name="file.jsonl"):
    return SimpleUploadedFile(name, b"".join(json.dumps(r).encode() + b"\n" for r in records))


def address(cast):
    return reverse("import", args=[cast.project.slug])


def pairs_address(cast):
    return reverse("export_pairs", args=[cast.project.slug])


PAIR = {"prompt": "One?", "chosen": "1", "rejected": "2"}


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(("person", "status"), [("stranger", 404), ("rater", 403)])
def test_import_is_for_managers(cast, client_of, method, person, status):
    client = client_of(getattr(cast, person))
    data = {"kind": "prompts", "prompts-file": upload({"prompt": "One?"})}
    response = getattr(client, method)(address(cast), data if method == "post" else None)
    assert response.status_code == status
    assert Prompt.objects.count() == 0


@pytest.mark.parametrize(("person", "status"), [("stranger", 404), ("rater", 403)])
def test_pairs_are_for_managers(cast, client_of, person, status):
    assert client_of(getattr(cast, person)).get(pairs_address(cast)).status_code == status


def test_nobody_is_sent_to_log_in(cast, client):
    for url in (address(cast), pairs_address(cast)):
        assert client.get(url).status_code == 302


def test_the_page_has_a_form_for_each_kind(cast, client_of):
    page = client_of(cast.manager).get(address(cast)).content.decode()
    for name in ("prompts-file", "completions-file", "completions-policy", "pairs-file"):
        assert f'name="{name}"' in page


def test_prompts_come_in_and_are_reported(cast, client_of):
    data = {"kind": "prompts", "prompts-file": upload({"prompt": "One?"}, name="mine.jsonl")}
    page = client_of(cast.manager).post(address(cast), data, follow=True)
    assert "1 prompt imported, 0 already there." in page.content.decode()
    assert Prompt.objects.get(project=cast.project).source == "mine.jsonl"


def test_completions_come_in_under_a_named_policy(cast, client_of):
    file = upload({"prompt": "One?", "completion": "1"})
    data = {"kind": "completions", "completions-file": file, "completions-policy": "mine"}
    assert client_of(cast.manager).post(address(cast), data).status_code == 302
    assert Policy.objects.get().slug == "mine"
    assert Completion.objects.get().text == "1"


def test_pairs_come_in(cast, client_of):
    data = {"kind": "pairs", "pairs-file": upload(PAIR)}
    assert client_of(cast.manager).post(address(cast), data).status_code == 302
    assert PreferencePair.objects.count() == 1


def test_bad_lines_stand_on_the_page_and_are_escaped(cast, client_of):
    bad = upload({"prompt": "One?"}, {"prompt": "Two?", "messages<b>": ["\0"]})
    response = client_of(cast.manager).post(address(cast), {"kind": "prompts", "prompts-file": bad})
    page = response.content.decode()
    assert response.status_code == 422
    assert "Nothing was imported: 1 bad line." in page
    assert "<td>2</td><td><code>messages&lt;b&gt;[0]</code></td>" in page
    assert Prompt.objects.count() == 0


def test_a_form_without_a_file_says_so(cast, client_of):
    response = client_of(cast.manager).post(address(cast), {"kind": "pairs"})
    assert response.status_code == 422
    assert "This field is required." in response.content.decode()


@pytest.mark.parametrize("policy", ["a b", "../x", "x" * 81])
def test_a_policy_must_be_a_slug(cast, client_of, policy):
    file = upload({"prompt": "One?", "completion": "1"})
    data = {"kind": "completions", "completions-file": file, "completions-policy": policy}
    assert client_of(cast.manager).post(address(cast), data).status_code == 422
    assert Completion.objects.count() == 0


def test_a_file_that_is_too_large_is_refused(cast, client_of, settings):
    settings.MAX_UPLOAD_BYTES = 10
    data = {"kind": "prompts", "prompts-file": upload({"prompt": "One?"})}
    response = client_of(cast.manager).post(address(cast), data)
    assert "larger than 10\xa0bytes" in response.content.decode()


@pytest.mark.parametrize("kind", ["", "everything"])
def test_an_unknown_kind_imports_nothing(cast, client_of, kind):
    data = {"kind": kind, "prompts-file": upload({"prompt": "One?"})}
    assert client_of(cast.manager).post(address(cast), data).status_code == 422
    assert Prompt.objects.count() == 0


def test_pairs_are_downloaded_as_a_file(cast, client_of):
    import_pairs(project=cast.project, file=upload(PAIR))
    response = client_of(cast.manager).get(pairs_address(cast))
    assert response["Content-Disposition"] == 'attachment; filename="sharpen-pairs.jsonl"'
    (line,) = b"".join(response.streaming_content).splitlines()
    assert json.loads(line)["chosen"] == [{"role": "assistant", "content": "1"}]
