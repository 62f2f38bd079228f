"""Pushing to a real local server with the hub's upload API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.training.exports.hub import TOKEN, Hub, Repo, running_hub
from training.errors import Refused
from training.exports.hub_push import run_push, start_push
from training.models import HubPush, Job, Merge

pytestmark = pytest.mark.django_db


@pytest.fixture
def hub(settings, monkeypatch) -> Iterator[Hub]:
    # Large files go to the hub's own storage by default; the server here speaks git LFS.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("training.exports.hub_push.BEAT_SECONDS", 0.05)
    with running_hub() as server:
        settings.HUB_URL = server.url
        yield server


def push(round_, **fields) -> HubPush:
    values = {"what": "adapter", "repo": "lab/helpdesk-1", "token": TOKEN, **fields}
    made = start_push(round_=round_, **values)
    run_push(made.pk)
    made.refresh_from_db()
    return made


def test_the_adapter_arrives_whole_with_its_card(answered, adapter, hub):
    made = push(answered)
    assert (made.state, made.error) == (Job.State.SUCCEEDED, "")
    assert made.url == f"{hub.url}/lab/helpdesk-1/commit/abc"
    repo = hub.repos["lab/helpdesk-1"]
    assert repo.private
    assert repo.messages == ["sharpen, round 1 (adapter)"]
    assert repo.files["adapter_model.safetensors"] == b"weights" * 100
    assert repo.files["README.md"] == (adapter / "README.md").read_bytes()
    assert b"library_name: peft" in repo.files["README.md"]
    assert set(repo.files) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert any(path.startswith("PUT /objects/") for path in hub.paths)


def test_the_token_is_sealed_and_then_forgotten(answered, hub):
    made = start_push(round_=answered, what="adapter", repo="lab/x", token=TOKEN)
    assert made.token_sealed
    assert TOKEN not in made.token_sealed
    run_push(made.pk)
    made.refresh_from_db()
    assert made.token_sealed == ""


def test_the_sites_own_token_never_enters_a_row(answered, hub, settings):
    settings.HUB_TOKEN = TOKEN
    made = push(answered, token="")
    assert (made.state, made.token_sealed) == (Job.State.SUCCEEDED, "")


def test_a_merged_model_is_pushed_too(answered, hub, tmp_path: Path, settings):
    with pytest.raises(Refused, match="no merged model"):
        push(answered, what="merged")
    folder = settings.RUNS_DIR / tmp_path.name / "merged"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"whole")
    Merge.objects.create(round=answered, state=Job.State.SUCCEEDED, run_dir=str(folder.parent))
    made = push(answered, what="merged", is_private=False)
    assert made.state == Job.State.SUCCEEDED
    repo = hub.repos["lab/helpdesk-1"]
    assert not repo.private
    assert repo.files["model.safetensors"] == b"whole"
    assert b"library_name: transformers" in repo.files["README.md"]


def test_private_never_goes_to_a_place_that_is_open(answered, hub):
    hub.repos["lab/helpdesk-1"] = Repo(private=False)
    made = push(answered)
    assert made.state == Job.State.FAILED
    assert "open to everybody" in made.error
    assert hub.repos["lab/helpdesk-1"].files == {}


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "does not accept this token"), (403, "may not write to lab/helpdesk-1"), (400, "400")],
)
def test_refusals_are_told_in_words_and_without_the_token(answered, hub, status, message):
    hub.refuse_with = status
    made = push(answered)
    assert made.state == Job.State.FAILED
    assert message in made.error
    assert TOKEN not in made.error
    assert made.token_sealed == ""


def test_a_hub_that_is_not_there_is_named(answered, settings):
    settings.HUB_URL = "http://127.0.0.1:9"
    made = push(answered)
    assert made.state == Job.State.FAILED
    assert "http://127.0.0.1:9 cannot be reached" in made.error


@pytest.mark.parametrize("repo", ["", "name", "a/b/c", "../x/y", "a/..", "a b/c", "a/b--c"])
def test_a_place_is_owner_and_name(answered, repo):
    with pytest.raises(Refused, match="owner/name"):
        start_push(round_=answered, what="adapter", repo=repo, token=TOKEN)


def test_without_a_token_nothing_is_queued(answered):
    with pytest.raises(Refused, match="token"):
        start_push(round_=answered, what="adapter", repo="a/b")
    assert not HubPush.objects.exists()
