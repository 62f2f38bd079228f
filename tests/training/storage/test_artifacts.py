"""Artifacts: complete or not at all, in one shared storage and the folders of two machines."""

import json
from pathlib import Path

import pytest
from django.core.files.storage import storages

from config.storage import backend
from training.engine.config import ADAPTER_WEIGHTS
from training.storage import artifacts
from training.storage.artifacts import ArtifactError, fault, local, local_adapter, publish
from training.storage.checkpoints import (
    drop_checkpoints,
    fetch_checkpoint,
    newest_checkpoint,
    publish_checkpoint,
)

WEIGHTS = ADAPTER_WEIGHTS


@pytest.fixture
def shared(tmp_path, settings):
    """A storage that is no machine's own folder."""
    where = tmp_path / "shared"
    settings.STORAGES = {**settings.STORAGES, "artifacts": backend(str(where))}
    storages.__dict__.pop("backends", None)
    return where


@pytest.fixture
def machine(tmp_path, settings):
    """``machine(name)`` makes the settings those of that machine, with its own folders."""

    def become(name):
        for kind in ("ADAPTERS_DIR", "SNAPSHOTS_DIR", "RUNS_DIR", "REFERENCE_CACHE_DIR"):
            setattr(settings, kind, tmp_path / name / kind.partition("_")[0].lower())
        return tmp_path / name

    return become


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "made"
    (folder / "inner").mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(b"weights")
    (folder / "inner" / "notes.txt").write_text("one")
    return folder


def test_what_one_machine_publishes_another_has(shared, machine, made):
    machine("one")
    publish(made, "adapters/demo-1")
    elsewhere = machine("two") / "adapters"
    assert not elsewhere.exists()
    folder = local("adapters/demo-1")
    assert folder == elsewhere / "demo-1"
    assert (folder / WEIGHTS).read_bytes() == b"weights"
    assert (folder / "inner" / "notes.txt").read_text() == "one"
    assert local_adapter("/one/that/is/not/here/adapters/demo-1") == folder


@pytest.mark.parametrize("file", [WEIGHTS, "inner/notes.txt", "manifest.json"])
@pytest.mark.parametrize("how", ["torn", "gone"])
def test_what_is_torn_in_the_storage_is_not_used(shared, machine, made, file, how):
    machine("one")
    publish(made, "adapters/demo-1")
    path = shared / "adapters" / "demo-1" / file
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    adapters = machine("two") / "adapters"
    with pytest.raises((ArtifactError, OSError, ValueError)):
        local("adapters/demo-1")
    assert not adapters.exists() or list(adapters.iterdir()) == []


def test_a_damaged_copy_is_fetched_again(shared, machine, made):
    machine("one")
    publish(made, "adapters/demo-1")
    place = machine("one") / "adapters" / "demo-1"
    (place / WEIGHTS).write_bytes(b"damaged")
    assert fault(place) is not None
    assert (local("adapters/demo-1") / WEIGHTS).read_bytes() == b"weights"


def test_where_there_is_one_folder_damage_is_an_error_with_its_reason(
    machine, made, settings, tmp_path
):
    settings.STORAGES = {**settings.STORAGES, "artifacts": backend(str(tmp_path / "one"))}
    storages.__dict__.pop("backends", None)
    machine("one")
    publish(made, "adapters/demo-1")
    place = tmp_path / "one" / "adapters" / "demo-1"
    assert local("adapters/demo-1") == place
    (place / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="is not what was written"):
        local_adapter(str(place))
    publish(made, "adapters/demo-1")
    assert (local("adapters/demo-1") / WEIGHTS).read_bytes() == b"weights"


def test_a_folder_that_is_not_what_was_made_is_not_published(shared, machine, made):
    folder = machine("one")
    with pytest.raises(ArtifactError, match=WEIGHTS):
        publish(made, "adapters/demo-1", expected={WEIGHTS: "0" * 64})
    assert list((folder / "adapters").iterdir()) == []
    assert not (shared / "adapters").exists()


def test_an_adapter_from_before_manifests_is_checked_by_its_name(machine, made, tmp_path):
    digest = artifacts._sha256(made / WEIGHTS)
    folder = machine("one") / "adapters" / f"demo-round-1-{digest[:12]}"
    folder.parent.mkdir(parents=True)
    made.rename(folder)
    assert local_adapter(str(folder)) == folder
    (folder / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="damaged"):
        local_adapter(str(folder))


def test_a_file_is_found_by_its_hash(shared, machine, tmp_path):
    path = tmp_path / "pairs"
    path.write_bytes(b"pairs")
    sha256 = artifacts._sha256(path)
    name = f"snapshots/{sha256}.jsonl"
    artifacts.publish_file(path, name)
    machine("two")
    assert artifacts.local_file(name, sha256).read_bytes() == b"pairs"
    (shared / name).write_bytes(b"torn")
    machine("three")
    with pytest.raises(ArtifactError, match=sha256):
        artifacts.local_file(name, sha256)


def checkpoint(run_dir: Path, step: int) -> None:
    folder = run_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "state").write_text(str(step))
    artifacts._write_manifest(folder)


def test_a_run_goes_on_on_another_machine_from_its_newest_checkpoint(shared, machine):
    run = machine("one") / "runs" / "round-1"
    for step in (10, 20):
        checkpoint(run, step)
        publish_checkpoint(run, newest_checkpoint(run))
    assert [path.name for path in (shared / "runs" / "round-1").iterdir() if any(path.iterdir())]
    run = machine("two") / "runs" / "round-1"
    fetch_checkpoint(run)
    assert [path.name for path in run.iterdir()] == ["checkpoint-20"]
    assert fault(run / "checkpoint-20") is None
    checkpoint(run, 30)
    fetch_checkpoint(run)  # the local checkpoint is newer
    assert newest_checkpoint(run) == "checkpoint-30"
    drop_checkpoints("round-1")
    assert not [path for path in (shared / "runs").rglob("*") if path.is_file()]


def test_what_a_run_has_made_is_had_and_removed_on_another_machine(shared, machine):
    run = machine("one") / "runs" / "merge-1"
    (run / "merged").mkdir(parents=True)
    (run / "merged" / "model.safetensors").write_bytes(b"weights")
    artifacts.publish_made(run, "merged")
    (run / "merged" / "README.md").write_text("a card, which may change")
    assert artifacts.local_made("merge-1", "merged") == run / "merged"

    two = machine("two")
    assert artifacts.has_made("merge-1", "merged")
    folder = artifacts.local_made("merge-1", "merged")
    assert folder == two / "runs" / "merge-1" / "merged"
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    artifacts.drop_made("merge-1", "merged")
    assert not folder.exists()
    assert not artifacts.has_made("merge-1", "merged")
    with pytest.raises(ArtifactError, match="neither on this machine nor in the storage"):
        artifacts.local_made("merge-1", "merged")


def test_a_manifest_cannot_point_elsewhere(shared, machine, made):
    machine("one")
    publish(made, "adapters/demo-1")
    manifest = shared / "adapters" / "demo-1" / "manifest.json"
    manifest.write_text(json.dumps({"../../evil": "0" * 64}))
    machine("two")
    with pytest.raises(ValueError, match="elsewhere"):
        local("adapters/demo-1")


def test_a_job_gets_the_paths_of_the_machine_that_runs_it(shared, machine, made, settings):
    machine("one")
    publish(made, "adapters/demo-1")
    two = machine("two")
    path = "/srv/one/adapters/demo-1"
    localised = artifacts.localised(
        {"start_adapter": path, "reference_adapter": None, "reference_cache": "/srv/one/cache"}
    )
    assert localised["start_adapter"] == str(two / "adapters" / "demo-1")
    assert localised["reference_cache"] == str(settings.REFERENCE_CACHE_DIR)
    assert artifacts.localised({"adapters": {"a": path, "b": None}})["adapters"] == {
        "a": str(two / "adapters" / "demo-1"),
        "b": None,
    }
    assert artifacts.localised({"adapter": path})["adapter"] == str(two / "adapters" / "demo-1")


@pytest.mark.parametrize(
    ("where", "options"),
    [
        ("s3://bucket", {"bucket_name": "bucket", "location": ""}),
        ("s3://bucket/a/b/", {"bucket_name": "bucket", "location": "a/b"}),
        ("/srv/shared", {"location": "/srv/shared"}),
    ],
)
def test_a_storage_is_named_by_a_folder_or_a_bucket(where, options):
    storage_options = backend(where)["OPTIONS"]
    assert {name: storage_options[name] for name in options} == options


def test_an_object_storage_is_as_good(machine, made, settings, monkeypatch):
    """Django's S3 storage through boto3, against moto's S3."""
    import boto3
    from moto import mock_aws

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="whetstone")
        settings.STORAGES = {**settings.STORAGES, "artifacts": backend("s3://whetstone/rounds")}
        storages.__dict__.pop("backends", None)
        run = machine("one") / "runs" / "round-1"
        publish(made, "adapters/demo-1")
        for step in (10, 20):
            checkpoint(run, step)
            publish_checkpoint(run, f"checkpoint-{step}")
        keys = [entry["Key"] for entry in client.list_objects_v2(Bucket="whetstone")["Contents"]]
        assert "rounds/adapters/demo-1/manifest.json" in keys
        assert not [key for key in keys if "checkpoint-10" in key]

        two = machine("two")
        assert (local("adapters/demo-1") / WEIGHTS).read_bytes() == b"weights"
        fetch_checkpoint(two / "runs" / "round-1")
        assert (two / "runs" / "round-1" / "checkpoint-20" / "state").read_text() == "20"
        with pytest.raises(ArtifactError, match="neither on this machine nor in the storage"):
            local("adapters/demo-2")

        client.put_object(Bucket="whetstone", Key=f"rounds/adapters/demo-1/{WEIGHTS}", Body=b"wei")
        machine("three")
        with pytest.raises(ArtifactError, match="not what was published"):
            local("adapters/demo-1")
