"""A model merged by the real engine; and the page's code snippets, run unchanged."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils.html import escape

from annotate.models import Policy
from training.errors import Refused
from training.exports.merge import FOLDER, merge_kept, remove_merged, start_merge
from training.exports.worker import run_merge
from training.jobs.claims import request_cancel
from training.models import Job, Merge, Round

pytestmark = pytest.mark.django_db


@pytest.fixture
def trained(new_round, base: Path, real_adapter: Path) -> Round:
    """A round whose adapter is a real one, on the tiny model."""
    round_ = new_round()
    Policy.objects.filter(pk__in=[round_.start_id, round_.policy_id]).update(base_model=str(base))
    Policy.objects.filter(pk=round_.policy_id).update(adapter_path=str(real_adapter))
    return Round.objects.select_related("policy", "start", "project").get(pk=round_.pk)


def run_lines(text: str) -> dict:
    namespace: dict = {}
    exec(text, namespace)
    return namespace


@pytest.mark.slow
def test_merged_loaded_and_removed(trained, cast, client_of, real_adapter):
    """A single test, so that the engine, a separate process, only starts once."""
    import torch

    manager = client_of(cast.manager)
    address = reverse("report", args=["sharpen", 1])
    page = manager.get(address)
    (peft_lines,) = page.context["lines"]
    assert peft_lines.library == "peft"

    manager.post(reverse("merge", args=["sharpen", 1]))
    merge = Merge.objects.get()
    assert (merge.state, merge.requested_by) == (Job.State.QUEUED, cast.manager)
    manager.post(reverse("merge", args=["sharpen", 1]))  # a second click
    assert Merge.objects.count() == 1
    assert "every 3s" in manager.get(address).content.decode()
    run_merge(merge.pk)
    merge.refresh_from_db()
    assert (merge.state, merge.error) == (Job.State.SUCCEEDED, "")
    assert merge.result["dtype"] == "float32"

    page = manager.get(address)
    assert "every 3s" not in page.content.decode()
    lines = {snippet.library: snippet for snippet in page.context["lines"]}
    assert list(lines) == ["peft", "transformers", "vLLM"]
    assert [bool(snippet.guard) for snippet in lines.values()] == [False, False, True]
    for snippet in lines.values():
        assert escape(snippet.text) in page.content.decode()  # what is run below is what is shown
        assert len(snippet.text.strip().split("\n")) == 3
    ours, plain = run_lines(lines["peft"].text), run_lines(lines["transformers"].text)
    asked = plain["tokenizer"]("what is the capital", return_tensors="pt")
    with torch.no_grad():
        theirs = plain["model"].eval()(**asked).logits
        adapted = ours["model"].eval()(**asked).logits
    torch.testing.assert_close(theirs, adapted, rtol=1e-4, atol=1e-4)
    assert type(plain["model"]).__module__.startswith("transformers.")

    sent = manager.get(reverse("download_merged", args=["sharpen", 1]))
    data = b"".join(sent.streaming_content)
    assert int(sent["Content-Length"]) == len(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= names

    folder = Path(merge.run_dir) / FOLDER
    assert folder.is_dir()
    manager.post(reverse("unmerge", args=["sharpen", 1]))
    assert not folder.exists()
    assert merge_kept(trained) is None
    assert real_adapter.is_dir()
    assert manager.get(reverse("download_merged", args=["sharpen", 1])).status_code == 404
    start_merge(round_=trained)  # it can be made again


def test_a_round_without_a_policy_has_nothing_to_merge(new_round):
    round_ = new_round()
    round_.policy = None
    with pytest.raises(Refused, match="has succeeded"):
        start_merge(round_=round_)


def test_a_queued_merge_is_cancelled_at_once_and_not_run(new_round):
    merge = start_merge(round_=new_round())
    request_cancel(job=merge)
    run_merge(merge.pk)
    merge.refresh_from_db()
    assert (merge.state, merge.attempt) == (Job.State.CANCELLED, 0)


def test_a_model_on_its_way_to_a_hub_is_not_removed(new_round, tmp_path, settings):
    from training.models import HubPush

    round_ = new_round()
    folder = settings.RUNS_DIR / tmp_path.name / "merged"
    folder.mkdir(parents=True)
    Merge.objects.create(round=round_, state=Job.State.SUCCEEDED, run_dir=str(folder.parent))
    HubPush.objects.create(round=round_, what=HubPush.What.MERGED, repo="a/b")
    with pytest.raises(Refused, match="on its way"):
        remove_merged(round_=round_)
    assert folder.is_dir()
