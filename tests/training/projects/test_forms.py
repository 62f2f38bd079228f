"""The loop's form: what is special about its fields."""

import pytest

from annotate.forms.fields import EscapedLinesField
from tests.factories import make_project
from training.models import LoopSettings
from training.projects.forms import LoopForm


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        ("", []),
        ("###", ["###"]),
        ("\\nQ:\r\n\r\n###\r\n", ["\nQ:", "###"]),
        (" leading space counts", [" leading space counts"]),
    ],
)
def test_a_line_is_a_text_and_an_escape_a_line_break(typed, lines):
    field = EscapedLinesField()
    assert field.clean(typed) == lines
    shown = field.prepare_value(lines)
    assert field.clean(shown) == lines
    assert not field.has_changed(lines, shown)


def as_shown(loop):
    """What a browser sends if nothing was changed."""
    values = LoopForm(instance=loop).initial
    return {name: "" if values[name] in (None, []) else values[name] for name in values}


@pytest.mark.django_db
def test_sampling_settings_are_stored_as_typed():
    loop = LoopSettings.objects.create(project=make_project(), base_model="some/model")
    data = as_shown(loop)
    data |= {"min_p": "0.05", "repetition_penalty": "1.2", "stop_sequences": "\\nQ:\n###"}
    form = LoopForm(data, instance=loop)
    assert form.is_valid(), form.errors
    form.save()
    loop.refresh_from_db()
    assert (loop.min_p, loop.repetition_penalty) == (0.05, 1.2)
    assert loop.stop_sequences == ["\nQ:", "###"]
    shown = str(LoopForm(instance=loop)["stop_sequences"])
    assert "\\nQ:" in shown


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", [{"min_p": "1.5"}, {"repetition_penalty": "0"}])
def test_what_the_engine_would_refuse_is_refused_beside_its_field(wrong):
    loop = LoopSettings.objects.create(project=make_project(), base_model="some/model")
    data = as_shown(loop)
    form = LoopForm({**data, **wrong}, instance=loop)
    assert set(form.errors) == set(wrong)
