"""Third-party pairs, imported unchanged and trained on without manual steps."""

import gzip
import itertools

import pytest
from django.core.management import call_command

from annotate.models import PreferencePair
from tests.factories import make_project
from tests.stack.test_loop import ended
from training.demo import MODEL_DIR
from training.models import LoopSettings, Metric
from training.rounds import lifecycle

pytestmark = [pytest.mark.stack, pytest.mark.django_db(transaction=True)]
PAIRS = 60


def test_a_round_trains_on_imported_hh_pairs(celery_workers, shared_data, tmp_path):
    file = tmp_path / "pairs.jsonl"
    with gzip.open(shared_data / "hh_harmless_pairs.jsonl.gz") as source:
        file.write_bytes(b"".join(itertools.islice(source, PAIRS)))
    project = make_project("hh")
    LoopSettings.objects.create(
        project=project,
        base_model=str(MODEL_DIR),
        round_config={
            "optimisation": {"learning_rate": 1e-3, "batch_size": 10, "max_length": 160},
        },
    )
    call_command("import_pairs", str(file), project="hh")
    assert PreferencePair.objects.count() == PAIRS

    made = ended(lifecycle.start_round(project=project))
    assert made.state == "succeeded", (made.error, made.log_tail)
    assert sum(made.snapshot.counts.values()) == PAIRS
    assert made.snapshot.counts["held_out"] > 0
    held_out = Metric.objects.filter(round=made, name="held_out/loss").order_by("step")
    assert held_out.first().value == pytest.approx(0.693147, abs=1e-4)
    assert held_out.count() >= 2
