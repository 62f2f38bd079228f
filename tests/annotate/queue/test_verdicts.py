"""What a project asks for × what was posted → what is stored, or which fields are invalid."""

import pytest

from annotate.models import Judgement
from annotate.queue.verdicts import (
    MAX_EDIT_CHARS,
    MAX_REASON_CHARS,
    Criterion,
    Options,
    VerdictDetails,
    VerdictRefused,
    check_verdict,
    details_in,
    options_of,
)
from tests.factories import make_project

TEXTS = {"a": "Answer a.", "b": "Answer b.\r\n"}
HONEST = Criterion("honest", "Honest")
KIND = Criterion("kind", "Kind")


def check(choice="left", *, details=None, swapped=False, **options):
    return check_verdict(
        choice=choice,
        details=VerdictDetails(**(details or {})),
        options=Options(**options),
        swapped=swapped,
        texts=TEXTS,
    )


def refused(choice="left", **named):
    with pytest.raises(VerdictRefused) as error:
        check(choice, **named)
    return set(error.value.errors)


@pytest.mark.parametrize("choice", ["left", "right", "tie", "both_bad", "skip"])
def test_nothing_is_needed_by_default_and_nothing_is_kept_unasked(choice):
    details = {
        "strength": "2",
        "criteria": {"honest": "left"},
        "reason": "Because.",
        "tags": ("short",),
        "flags": ("unsafe",),
        "edit": "Mine.",
        "edited_from": "left",
    }
    assert check(choice, details=details) == check(choice)


@pytest.mark.parametrize("choice", ["", "both", "A", "left "])
def test_an_unknown_choice(choice):
    assert refused(choice) == {"choice"}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("choice", "straight", "turned"),
    [("left", "a", "b"), ("right", "b", "a"), ("tie", "tie", "tie"), ("skip", "skip", "skip")],
)
def test_the_screen_is_translated(choice, straight, turned, swapped):
    assert check(choice, swapped=swapped).outcome == (turned if swapped else straight)


@pytest.mark.parametrize(
    ("choice", "mode", "sent", "stored"),
    [
        ("left", "optional", "", None),
        ("left", "optional", "1", 1),
        ("right", "required", "2", 2),
        ("tie", "required", "", None),
        ("tie", "required", "2", None),
        ("skip", "required", "", None),
        ("both_bad", "optional", "1", None),
    ],
)
def test_strength_belongs_to_a_side(choice, mode, sent, stored):
    assert check(choice, details={"strength": sent}, strength_mode=mode).strength == stored


@pytest.mark.parametrize(
    ("mode", "sent"), [("required", ""), ("optional", "3"), ("optional", "much")]
)
def test_a_bad_strength(mode, sent):
    assert refused(details={"strength": sent}, strength_mode=mode) == {"strength"}


@pytest.mark.parametrize(
    ("swapped", "stored"),
    [(False, {"honest": "a", "kind": "tie"}), (True, {"honest": "b", "kind": "tie"})],
)
def test_criteria_are_kept_in_the_comparisons_terms(swapped, stored):
    details = {"criteria": {"honest": "left", "kind": "tie", "gone": "right"}}
    verdict = check("tie", details=details, swapped=swapped, criteria=(HONEST, KIND))
    assert verdict.criteria == stored


@pytest.mark.parametrize(
    ("required", "sent", "fields"),
    [
        (False, {}, set()),
        (True, {"honest": "left", "kind": "tie"}, set()),
        (True, {"honest": "left"}, {"criterion.kind"}),
        (True, {}, {"criterion.honest", "criterion.kind"}),
        (False, {"kind": "both"}, {"criterion.kind"}),
    ],
)
def test_criteria_that_are_missing_or_odd(required, sent, fields):
    options = {"criteria": (HONEST, KIND), "criteria_required": required}
    if fields:
        assert refused(details={"criteria": sent}, **options) == fields
    else:
        assert set(check(details={"criteria": sent}, **options).criteria) == set(sent)


def test_a_skip_needs_no_criteria_and_no_reason_and_keeps_why():
    verdict = check(
        "skip",
        details={"flags": ("cannot_judge",), "reason": "Swahili"},
        criteria=(HONEST,),
        criteria_required=True,
        reason_mode="required",
        reason_min_length=20,
        flags_on=True,
    )
    assert (verdict.criteria, verdict.flags, verdict.reason) == ({}, ["cannot_judge"], "Swahili")


@pytest.mark.parametrize(
    ("mode", "least", "reason", "tags", "is_good"),
    [
        ("optional", 0, "", (), True),
        ("optional", 5, "", (), True),
        ("optional", 5, "abcd", (), False),
        ("optional", 5, "  abcd  ", (), False),
        ("optional", 5, "abcde", (), True),
        ("required", 0, "", (), False),
        ("required", 0, " \n ", (), False),
        ("required", 0, "x", (), True),
        ("required", 0, "", ("short",), True),
        ("required", 5, "", ("short",), False),
        ("required", 5, "abcde", ("short",), True),
        ("optional", 0, "x" * MAX_REASON_CHARS, (), True),
        ("optional", 0, "x" * (MAX_REASON_CHARS + 1), (), False),
    ],
)
def test_the_reason(mode, least, reason, tags, is_good):
    options = {"reason_mode": mode, "reason_min_length": least, "reason_tags": ("short", "wrong")}
    details = {"reason": reason, "tags": tags}
    if is_good:
        verdict = check(details=details, **options)
        assert (verdict.reason, verdict.reason_tags) == (reason.strip(), list(tags))
    else:
        assert refused(details=details, **options) == {"reason"}


def test_tags_are_the_projects_own():
    options = {"reason_mode": "optional", "reason_tags": ("short", "wrong")}
    verdict = check(details={"tags": ("wrong", "short", "wrong")}, **options)
    assert verdict.reason_tags == ["short", "wrong"]
    assert refused(details={"tags": ("<b>",)}, **options) == {"tag"}


@pytest.mark.parametrize(
    ("choice", "flags", "is_good"),
    [
        ("left", ("unsafe", "broken"), True),
        ("skip", ("cannot_judge",), True),
        ("skip", ("cannot_judge", "personal_data"), True),
        ("left", ("cannot_judge",), False),
        ("left", ("ugly",), False),
    ],
)
def test_flags(choice, flags, is_good):
    if is_good:
        assert set(check(choice, details={"flags": flags}, flags_on=True).flags) == set(flags)
    else:
        assert refused(choice, details={"flags": flags}, flags_on=True) == {"flag"}


@pytest.mark.parametrize(
    ("edit", "source", "swapped", "stored"),
    [
        ("Better.", "left", False, ("Better.", "a")),
        ("Better.", "left", True, ("Better.", "b")),
        ("One\r\ntwo", "right", False, ("One\ntwo", "b")),
        ("Nul \0.", "right", False, ("Nul ␀.", "b")),
        ("", "", False, ("", "")),
        ("  \n", "left", False, ("", "")),
        ("Answer a.", "left", False, ("", "")),
        ("Answer b.\n", "left", True, ("", "")),
        ("Answer b.", "left", False, ("", "")),
        ("From nothing.", "", True, ("From nothing.", "")),
    ],
)
def test_an_edit(edit, source, swapped, stored):
    details = {"edit": edit, "edited_from": source}
    verdict = check("both_bad", details=details, swapped=swapped, editing_on=True)
    assert (verdict.edited_text, verdict.edited_from) == stored


def test_a_bad_edit():
    odd = {"edit": "Better.", "edited_from": "middle"}
    assert refused(details=odd, editing_on=True) == {"edited_from"}
    long = {"edit": "x" * (MAX_EDIT_CHARS + 1), "edited_from": "left"}
    assert refused(details=long, editing_on=True) == {"edit"}


def test_everything_that_is_wrong_is_named_at_once():
    fields = refused(
        "middle",
        details={"flags": ("ugly",)},
        flags_on=True,
        reason_mode="required",
        criteria=(HONEST,),
        criteria_required=True,
    )
    assert fields == {"choice", "flag", "reason", "criterion.honest"}


def test_the_way_back_to_the_form():
    details = VerdictDetails(
        strength="2",
        criteria={"honest": "left"},
        reason="Because.",
        tags=("short",),
        flags=("unsafe",),
        edit="Mine.",
        edited_from="right",
    )
    verdict = check_verdict(
        choice="left",
        details=details,
        options=Options(
            strength_mode="optional",
            criteria=(HONEST,),
            reason_mode="optional",
            reason_tags=("short",),
            flags_on=True,
            editing_on=True,
        ),
        swapped=True,
        texts=TEXTS,
    )
    assert details_in(Judgement(swapped=True, **verdict.fields())) == details


@pytest.mark.django_db
def test_a_new_project_forces_nothing():
    assert options_of(make_project()) == Options()
