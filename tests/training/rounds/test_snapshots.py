import hashlib
import json

import pytest

from annotate.models import Judgement, PreferencePair
from annotate.queue.cards import serve_next
from annotate.queue.history import CannotUndo, undo_last
from annotate.queue.record import record_verdict
from annotate.queue.verdicts import Given
from tests.factories import join, make_comparison, make_project, make_prompt, make_user
from training.errors import Refused
from training.models import Snapshot
from training.rounds.snapshots import freeze_snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project()


@pytest.fixture
def rater(project):
    return join(project, make_user())


def judge(project, rater, held_out=False):
    make_comparison(project, prompt=make_prompt(project, held_out=held_out))
    card = serve_next(project=project, rater=rater)
    record_verdict(code=card.code, rater=rater, choice="left")


def test_the_hash_is_that_of_the_bytes(project, rater):
    judge(project, rater)
    snapshot = freeze_snapshot(project=project)
    assert hashlib.sha256(snapshot.file.read_bytes()).hexdigest() == snapshot.sha256


def test_the_same_pairs_are_the_same_snapshot(project, rater):
    judge(project, rater)
    assert freeze_snapshot(project=project) == freeze_snapshot(project=project)
    assert Snapshot.objects.count() == 1


def test_a_new_pair_makes_a_new_snapshot_and_leaves_the_old_bytes(project, rater):
    judge(project, rater)
    first = freeze_snapshot(project=project)
    before = first.file.read_bytes()
    judge(project, rater)
    second = freeze_snapshot(project=project)
    assert second != first
    assert first.file.read_bytes() == before
    assert second.file.read_bytes().startswith(before)


def test_the_split_is_by_prompt_and_counted(project, rater):
    judge(project, rater, held_out=True)
    judge(project, rater)
    judge(project, rater)
    snapshot = freeze_snapshot(project=project)
    splits = [json.loads(line)["split"] for line in snapshot.file.open()]
    assert sorted(splits) == ["held_out", "train", "train"]
    assert snapshot.counts == {"train": 2, "held_out": 1}
    assert snapshot.pairs.count() == 3


def test_a_snapshot_ends_undo(project, rater):
    judge(project, rater)
    freeze_snapshot(project=project)
    assert PreferencePair.objects.get().frozen_at is not None
    with pytest.raises(CannotUndo, match="training round"):
        undo_last(project=project, rater=rater)


def test_nothing_to_freeze_is_said(project):
    with pytest.raises(Refused, match="no preference pairs"):
        freeze_snapshot(project=project)
    assert not Snapshot.objects.exists()


@pytest.mark.parametrize(("held_out", "split"), [(True, "held_out"), (False, "train")])
def test_an_edited_answer_is_trained_on_unless_its_prompt_is_held_out(rater, held_out, split):
    project = make_project(editing_on=True)
    comparison = make_comparison(project, prompt=make_prompt(project, held_out=held_out))
    card = serve_next(project=project, rater=rater)
    details = Given(edit="Better.", edited_from="left")
    record_verdict(code=card.code, rater=rater, choice="both_bad", given=details)
    snapshot = freeze_snapshot(project=project)
    lines = [json.loads(line) for line in snapshot.file.read_bytes().splitlines()]
    assert snapshot.counts[split] == 2
    assert {line["chosen"][0]["content"] for line in lines} == {"Better."}
    assert {line["rejected"][0]["content"] for line in lines} == {
        comparison.a.text,
        comparison.b.text,
    }


def test_a_verdict_that_was_reopened_and_left_is_frozen_as_it_was(project, rater):
    judge(project, rater)
    again = undo_last(project=project, rater=rater)
    Judgement.objects.filter(pk=again.pk).update(expires_at=again.served_at)
    freeze_snapshot(project=project)
    assert PreferencePair.objects.get().frozen_at is not None
