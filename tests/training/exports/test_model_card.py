"""The model card: Hugging Face can read it, it names no person, and it guesses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.conftest import ROOT
from training.exports.licences import licence_of
from training.exports.model_card import card_of, write_published_card
from training.models import Round

pytestmark = pytest.mark.django_db


def test_its_metadata_is_hugging_faces(answered):
    data = ModelCard(card_of(answered)).data
    assert (data.base_model, data.library_name) == ("some/model", "peft")
    assert {"whetstone", "dpo", "lora"} <= set(data.tags)
    results = {result.metric_name: result.metric_value for result in data.eval_results or []}
    assert results == {"Reward accuracy": 0.8, "Ranking accuracy": 0.6, "Held-out loss": 0.512}
    merged = ModelCard(card_of(answered, what="merged")).data
    assert (merged.library_name, "lora" in merged.tags) == ("transformers", False)


def test_it_has_data_settings_results_limits_and_hashes(answered):
    text = card_of(answered)
    for part in (
        "| Raters | 2 |",
        "100.0% of 3 pairs of judgements",
        "| `beta` | `0.1` |",
        "| Reward accuracy | 80.0% (49.0% to 94.3%, n = 10) |",
        "| Ranking accuracy, reference | 50.0% (23.7% to 76.3%, n = 10) |",
        "| Held-out loss | 0.512 (at the start 0.693) |",
        "| Licence of the base | not stated |",
        "## Limits",
        "ab" * 32,
        "cd" * 32,
        "0123456789ab",
    ):
        assert part in text
    assert "license" not in ModelCard(text).data.to_dict()


def test_it_names_no_person_and_no_folder(answered, cast, settings):
    from annotate.models import Policy

    Policy.objects.filter(pk=answered.start.pk).update(base_model="/home/ada/models/secret-base")
    answered = Round.objects.get(pk=answered.pk)
    text = card_of(answered)
    for person in (cast.manager, cast.rater, cast.colleague):
        person.username = f"somebody-{person.pk}"
        person.save()
    assert "somebody-" not in card_of(answered)
    assert "/home/ada" not in text
    assert "`secret-base`" in text
    assert ModelCard(text).data.base_model is None


def test_it_is_in_english_whatever_the_page_is_in(answered):
    from django.utils import translation

    with translation.override("de"):
        assert "Held-out loss" in card_of(answered)


def test_it_is_written_beside_the_adapter(answered, adapter):
    write_published_card(answered)
    assert (adapter / "README.md").read_text() == card_of(answered)
    assert not list(adapter.glob(".*"))


def test_a_card_that_cannot_be_written_costs_no_round(answered, adapter, caplog):
    for path in adapter.iterdir():
        path.unlink()
    adapter.rmdir()
    write_published_card(answered)
    assert "model card was not written" in caplog.text


# --- licences ---


def test_a_licence_is_what_the_bases_own_card_states(tmp_path: Path):
    assert licence_of(str(ROOT / "training/demo/model")) == "apache-2.0"
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: gemma\n---\n")
    assert licence_of(str(tmp_path)) == "gemma"


@pytest.mark.parametrize(
    ("readme", "config", "licence"),
    [
        (None, None, None),
        ("# A model under the MIT licence\n", None, None),
        ("---\ntags: [x]\n---\n", '{"license": "mit"}', "mit"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", None, "mit, apache-2.0"),
        ("---\nlicense: ]broken[\n---\n", "{", None),
    ],
)
def test_it_is_never_guessed(tmp_path: Path, readme, config, licence):
    for name, text in (("README.md", readme), ("config.json", config)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert licence_of(str(tmp_path)) == licence


@pytest.mark.parametrize("base", ["no/such-model-on-this-disk", "not a name!", "", "/nowhere"])
def test_what_is_not_on_disk_is_not_asked_for(base):
    assert licence_of(base) is None
